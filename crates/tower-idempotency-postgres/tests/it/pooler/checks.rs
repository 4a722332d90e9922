//! Finding out what lies between the store and the server.

use std::error::Error;

use throwaway_postgres::PgBouncer;
use tower_idempotency_core::StoreError;
use tower_idempotency_postgres::{Pooling, PostgresStore};
use tower_idempotency_testkit::run;

use super::support::{Load, options, pool, pooler, store};
use crate::support::{Postgres, empty, server};

fn assert_refused(checked: Result<(), StoreError>) {
    let error = checked.expect_err("a pooler in transaction mode was not noticed");
    let source = error.source().unwrap().to_string();
    assert!(source.contains("`Pooling::Transaction`"), "{source}");
    assert!(source.contains("PgBouncer"), "{source}");
}

async fn session_store(postgres: &Postgres, pooler: &PgBouncer) -> PostgresStore {
    let pool = pool(options(Some(pooler)), 4).await;
    store(postgres, pool, Pooling::Session)
}

#[test]
fn a_pooler_in_transaction_mode_is_refused_by_a_store_that_expects_none() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let postgres = empty(&[]).await;
        let store = session_store(&postgres, &pooler).await;
        assert_refused(store.check().await);
        assert_refused(store.migrate().await);
        assert_refused(PostgresStore::connect(&pooler.url()).await.map(drop));
        let connected = PostgresStore::connect_with(options(Some(&pooler))).await;
        assert_refused(connected.map(drop));
        let tables = "SELECT count(*) FROM information_schema.tables
                      WHERE table_schema = current_schema()";
        let tables: i64 = sqlx::query_scalar(tables)
            .fetch_one(&postgres.pool)
            .await
            .unwrap();
        assert_eq!(tables, 0, "a refused store has migrated");
    });
}

#[test]
fn a_busy_pooler_in_transaction_mode_is_refused_too() {
    run(async {
        for servers in ["2", "4", "20"] {
            let Some(pooler) = pooler(&[("default_pool_size", servers)]) else {
                return;
            };
            let postgres = empty(&[]).await;
            let store = session_store(&postgres, &pooler).await;
            let load = Load::on(&pooler, 24).await;
            for _ in 0..25 {
                assert_refused(store.check().await);
            }
            drop(load);
        }
    });
}

#[test]
fn a_pooler_in_session_mode_is_accepted_under_load() {
    run(async {
        let settings = [("pool_mode", "session"), ("default_pool_size", "30")];
        let Some(pooler) = pooler(&settings) else {
            return;
        };
        let postgres = empty(&[]).await;
        let store = session_store(&postgres, &pooler).await;
        let load = Load::on(&pooler, 12).await;
        store.migrate().await.unwrap();
        for _ in 0..10 {
            store.check().await.unwrap();
        }
        PostgresStore::connect(&pooler.url()).await.unwrap();
        drop(load);
    });
}

#[test]
fn a_server_is_accepted() {
    run(async {
        let postgres = empty(&[]).await;
        for _ in 0..10 {
            postgres.store.check().await.unwrap();
        }
        PostgresStore::connect_with(server()).await.unwrap();
    });
}

#[test]
fn a_store_that_expects_a_pooler_works_with_any() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let postgres = empty(&[]).await;
        for pooling in [
            Pooling::Transaction,
            Pooling::TransactionWithPreparedStatements,
        ] {
            for options in [options(Some(&pooler)), server()] {
                let store = store(&postgres, pool(options, 2).await, pooling);
                store.check().await.unwrap();
                store.migrate().await.unwrap();
            }
        }
    });
}

//! Creating the table, again and at once.

use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Executor};
use tower_idempotency_core::{Claim, Store, StoreErrorKind};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_testkit::run;

use crate::support::{acquire, complete, empty, postgres, request};

#[test]
fn migrating_twice_changes_nothing() {
    run(async {
        let postgres = postgres().await;
        complete(&mut acquire(&postgres.store, &request("k")).await).await;
        postgres.store.migrate().await.unwrap();
        assert!(
            postgres
                .store
                .lookup(&request("k").id)
                .await
                .unwrap()
                .is_some()
        );
    });
}

#[test]
fn many_processes_may_migrate_at_once() {
    run(async {
        let postgres = empty(&[]).await;
        let migrations = join_all((0..8).map(|_| postgres.store.migrate())).await;
        assert!(migrations.iter().all(Result::is_ok), "{migrations:?}");
        let _execution = acquire(&postgres.store, &request("k")).await;
    });
}

/// A migration that waited for writers would in turn hold up all writers behind it.
#[test]
fn migrating_again_waits_for_no_open_transaction() {
    run(async {
        let postgres = postgres().await;
        let mut writer = postgres.pool.begin().await.unwrap();
        let lock = "LOCK TABLE idempotency_keys IN ROW EXCLUSIVE MODE";
        writer.execute(lock).await.unwrap();
        postgres.store.migrate().await.unwrap();
        writer.rollback().await.unwrap();
    });
}

#[test]
fn the_printed_sql_is_enough() {
    run(async {
        let postgres = empty(&[]).await;
        let sql = postgres.store.migrations_sql().to_owned();
        for _ in 0..2 {
            let run = sqlx::raw_sql(AssertSqlSafe(sql.clone()));
            run.execute(&postgres.pool).await.unwrap();
        }
        complete(&mut acquire(&postgres.store, &request("k")).await).await;
    });
}

#[test]
fn a_missing_table_is_named_as_such() {
    run(async {
        let postgres = empty(&[]).await;
        let error = postgres.store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
    });
}

/// As for somebody whose own migration tool has run the first file only.
#[test]
fn a_missing_function_is_named_as_such() {
    run(async {
        let postgres = postgres().await;
        postgres
            .execute("DROP FUNCTION idempotency_keys_lock")
            .await;
        let store = postgres.store.clone().transactional();
        let error = store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
        postgres.store.migrate().await.unwrap();
        let claim = store.claim(&request("k")).await.unwrap();
        assert!(matches!(claim, Claim::Acquired(_)), "{claim:?}");
    });
}

#[test]
fn a_schema_can_be_chosen() {
    run(async {
        let postgres = empty(&[]).await;
        let schema = format!("chosen_{}", std::process::id());
        postgres.execute(&format!("CREATE SCHEMA {schema}")).await;
        let store = PostgresStore::builder(postgres.pool.clone()).schema(&schema);
        let store = store.build().unwrap();
        store.migrate().await.unwrap();
        complete(&mut acquire(&store, &request("k")).await).await;
        assert_eq!(store.sweep(10).await.unwrap().deleted, 0);
        let rows = postgres
            .execute(&format!("SELECT FROM {schema}.idempotency_keys"))
            .await;
        postgres
            .execute(&format!("DROP SCHEMA {schema} CASCADE"))
            .await;
        assert_eq!(rows, 1);
    });
}

#[test]
fn bad_settings_are_refused_by_name() {
    run(async {
        let pool = postgres().await.pool.clone();
        let builder = || PostgresStore::builder(pool.clone());
        let error = builder().schema("a-b").build().unwrap_err();
        assert_eq!((error.setting(), error.value()), ("schema", "\"a-b\""));
        let zero = std::time::Duration::ZERO;
        let error = builder().operation_timeout(zero).build().unwrap_err();
        assert_eq!(error.setting(), "operation_timeout");
    });
}

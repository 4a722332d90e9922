//! Every wait ends, and leaves usable connections behind.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::join_all};
use sqlx::postgres::PgPoolOptions;
use tower_idempotency_core::{Claim, Store, StoreErrorKind};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_testkit::run;

use crate::support::{Postgres, acquire, complete, lock_table, pool, postgres, request, waiting};

/// A store with one connection and a short bound.
async fn narrow(postgres: &Postgres) -> PostgresStore {
    let pool = pool(&postgres.options, 1).await;
    let builder = PostgresStore::builder(pool).operation_timeout(Duration::from_millis(500));
    builder.build().unwrap()
}

#[test]
fn a_locked_table_costs_the_bound_and_not_the_connection() {
    run(async {
        let postgres = postgres().await;
        let store = narrow(&postgres).await;
        let holder = lock_table(&postgres).await;

        let begun = Instant::now();
        let error = store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        // The statement still hangs in the server; the pool of one is free all the same.
        assert!(store.pool().acquire().await.is_ok());
        holder.rollback().await.unwrap();
        assert!(store.claim(&request("other")).await.is_ok());
    });
}

#[test]
fn a_full_pool_costs_the_bound() {
    run(async {
        let postgres = postgres().await;
        let store = narrow(&postgres).await;
        let held = store.pool().acquire().await.unwrap();
        let error = store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        drop(held);
        complete(&mut acquire(&store, &request("k")).await).await;
    });
}

#[test]
fn a_dropped_claim_leaves_the_only_connection_usable() {
    run(async {
        let postgres = postgres().await;
        let store = narrow(&postgres).await;
        let holder = lock_table(&postgres).await;
        {
            let hanging_request = request("k");
            let mut hanging = pin!(store.claim(&hanging_request));
            // Polled until its statement hangs in the server.
            while waiting(&postgres).await == 0 {
                assert!(hanging.as_mut().now_or_never().is_none());
            }
        }
        holder.rollback().await.unwrap();
        let _execution = acquire(&store, &request("other")).await;
    });
}

#[test]
fn connections_that_the_server_has_ended_do_no_harm() {
    run(async {
        let postgres = postgres().await;
        let store = narrow(&postgres).await;
        complete(&mut acquire(&store, &request("k")).await).await;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(store.pool())
            .await
            .unwrap();
        let ended = "SELECT pg_terminate_backend($1)";
        sqlx::query(ended)
            .bind(pid)
            .execute(&postgres.pool)
            .await
            .unwrap();
        let claim = store.claim(&request("k")).await;
        assert!(matches!(claim, Ok(Claim::Completed(_))), "{claim:?}");
    });
}

/// The store's own pool does not test a connection that was used a moment ago.
#[test]
fn a_pool_of_the_stores_own_outlives_its_connections() {
    run(async {
        let postgres = postgres().await;
        let name = format!("own_{}", postgres.schema);
        let options = postgres.options.clone().application_name(&name);
        let store = PostgresStore::connect_with(options).await.unwrap();
        let taken: Vec<_> = join_all((0..8).map(|_| store.pool().acquire())).await;
        drop(taken);
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE application_name = $1";
        let ended = sqlx::query_scalar::<_, i64>(end).bind(&name);
        assert!(ended.fetch_one(&postgres.pool).await.unwrap() >= 8);
        let found = store.lookup(&request("k").id).await.unwrap();
        assert!(found.is_none());
        let claim = store.transactional().claim(&request("k")).await.unwrap();
        assert!(matches!(claim, Claim::Acquired(_)), "{claim:?}");
    });
}

#[test]
fn a_server_that_is_not_there_is_unavailable_within_the_bound() {
    run(async {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = nobody.local_addr().unwrap().port();
        drop(nobody);
        let url = format!("postgres://nobody@127.0.0.1:{port}/nothing");
        let pool = PgPoolOptions::new().connect_lazy(&url).unwrap();
        let store = PostgresStore::builder(pool).operation_timeout(Duration::from_millis(500));
        let begun = Instant::now();
        let error = store
            .build()
            .unwrap()
            .claim(&request("k"))
            .await
            .unwrap_err();
        let kind = error.kind();
        assert!(
            matches!(kind, StoreErrorKind::Timeout | StoreErrorKind::Unavailable),
            "{kind:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(4));
    });
}

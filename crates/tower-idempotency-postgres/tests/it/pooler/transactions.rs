//! The transactional mode and the fence behind a pooler.

use sqlx::{Connection, Executor};
use throwaway_postgres::PgBouncer;
use tower_idempotency_core::{
    Execution, FencedCommit, FencedTransaction, Release, Settled, StoreErrorKind,
};
use tower_idempotency_postgres::{Effect, Pooling};
use tower_idempotency_testkit::run;

use super::support::{behind, options, pool, pooler, store};
use crate::{
    fence::fence,
    support::{acquire, completed, request},
    transactional::support::Bench,
};

/// A transactional store on four server connections, with a table for effects.
async fn bench(pooler: &PgBouncer) -> Bench {
    let postgres = behind(Some(pooler)).await;
    postgres.execute("CREATE TABLE effects (n int)").await;
    let pool = pool(options(Some(pooler)), 8).await;
    let store = store(&postgres, pool.clone(), Pooling::Transaction);
    Bench {
        postgres,
        store: store.transactional(),
        pool,
    }
}

async fn write(bench: &Bench, running: &crate::transactional::support::Running) {
    let sql = format!("INSERT INTO {}.effects VALUES ($1)", bench.postgres.schema);
    let done = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(1)
        .execute(&mut *running.tx())
        .await;
    assert_eq!(done.unwrap().rows_affected(), 1);
}

#[test]
fn effect_and_record_are_committed_together() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let mut running = bench.acquire(&request("k")).await;
        write(&bench, &running).await;
        assert_eq!(bench.refused(&request("k")).await, "in progress");
        assert!(!bench.is_done().await);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
        assert_eq!(bench.refused(&request("k")).await, "completed");
    });
}

#[test]
fn a_handler_that_commits_by_itself_gets_its_response_kept() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let mut running = bench.acquire(&request("k")).await;
        write(&bench, &running).await;
        running.tx().execute("COMMIT").await.unwrap();
        // Another client may have the server connection now.
        let _other = bench.acquire(&request("other")).await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_dropped_execution_frees_the_key() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let running = bench.acquire(&request("k")).await;
        write(&bench, &running).await;
        drop(running);
        let mut next = bench.acquire_soon(&request("k")).await;
        write(&bench, &next).await;
        let settled = next.execution.release(&Release::Free).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        assert!(!bench.is_done().await);
    });
}

#[test]
fn a_pooler_that_is_killed_undoes_everything() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let mut running = bench.acquire(&request("k")).await;
        write(&bench, &running).await;
        pooler.kill().unwrap();
        pooler.start_again().unwrap();
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        let mut next = bench.acquire_soon(&request("k")).await;
        write(&bench, &next).await;
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn whoever_lost_the_key_cannot_commit() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let leased = bench.store.store();
        let mut execution = acquire(leased, &request("k")).await;
        let fence = fence(&mut execution);
        let settled = execution.release(&Release::Free).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        let mut transaction = bench.pool.begin().await.unwrap();
        let sql = format!("INSERT INTO {}.effects VALUES (1)", bench.postgres.schema);
        transaction.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        let kept = transaction.complete(&fence, &completed(1)).await.unwrap();
        assert_eq!(kept, Settled::Stale);
        assert!(transaction.commit().await.is_err());
        assert!(!bench.is_done().await);
    });
}

#[test]
fn an_effect_and_its_record_are_committed_together_or_not_at_all() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let store = bench.store.store();
        let write = |rows: &str| {
            let schema = &bench.postgres.schema;
            let sql = format!("INSERT INTO {schema}.effects SELECT n FROM unnest({rows}) AS n");
            Effect::new(sqlx::AssertSqlSafe(sql))
        };
        let mut execution = acquire(store, &request("k")).await;
        let fence = fence(&mut execution);
        let none = write("'{}'::int[]");
        let refused = none.complete_and_commit(&fence, &completed(1)).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::NoEffect);
        for settled in [Settled::Applied, Settled::Stale] {
            let one = write("ARRAY[1]");
            let kept = one.complete_and_commit(&fence, &completed(1)).await;
            assert_eq!(kept.unwrap(), settled);
        }
        assert!(bench.is_done().await);
    });
}

async fn named(running: &crate::transactional::support::Running) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pg_prepared_statements")
        .fetch_one(&mut *running.tx())
        .await
        .unwrap()
}

#[test]
fn a_transaction_prepares_nothing_under_a_name() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let mut running = bench.acquire(&request("k")).await;
        write(&bench, &running).await;
        let mut tx = running.tx();
        for n in 0..3 {
            let sum: i32 = sqlx::query_scalar("SELECT 1 + $1")
                .bind(n)
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            assert_eq!(sum, n + 1);
        }
        drop(tx);
        assert_eq!(named(&running).await, 0);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
    });
}

/// Savepoints, and functions that take a connection, go past the executor.
#[test]
fn a_savepoint_prepares_nothing_under_a_name_if_it_is_told_so() {
    run(async {
        let Some(pooler) = pooler(&[]) else { return };
        let bench = bench(&pooler).await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        let mut savepoint = tx.begin().await.unwrap();
        let one: i32 = sqlx::query_scalar("SELECT 1 + $1")
            .persistent(false)
            .bind(0)
            .fetch_one(&mut *savepoint)
            .await
            .unwrap();
        savepoint.commit().await.unwrap();
        let bare = &mut **tx;
        let two: i32 = sqlx::query_scalar("SELECT 2 + $1")
            .bind(0)
            .persistent(false)
            .fetch_one(&mut *bare)
            .await
            .unwrap();
        assert_eq!((one, two), (1, 2));
        drop(tx);
        assert_eq!(named(&running).await, 0);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
    });
}

//! Two transactions that meet.

use sqlx::Executor;
use tower_idempotency_core::{Execution, Failure, Release, Settled, StoreErrorKind};
use tower_idempotency_postgres::Isolation;
use tower_idempotency_testkit::run;

use super::support::{Bench, Running, bench_with, write};
use crate::support::request;

const TOUCH: &str = "UPDATE effects SET n = n + 1";

async fn repeatable_read() -> Bench {
    let bench = bench_with(|builder| builder.isolation(Isolation::RepeatableRead)).await;
    bench
        .postgres
        .execute("INSERT INTO effects VALUES (1)")
        .await;
    bench
}

/// Lets the execution see the row, and then somebody else change it.
async fn meet(bench: &Bench, key: &str) -> Running {
    let running = bench.acquire(&request(key)).await;
    running.tx().execute("SELECT n FROM effects").await.unwrap();
    bench.postgres.execute(TOUCH).await;
    running
}

fn failed() -> Release {
    Release::Failed(Failure::transient("status 500"))
}

async fn assert_conflict(running: &mut Running) {
    let error = running.execution.release(&failed()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
}

#[test]
fn a_statement_that_met_another_is_noticed() {
    run(async {
        let bench = repeatable_read().await;
        let mut running = meet(&bench, "k").await;
        assert!(running.tx().execute(TOUCH).await.is_err());
        assert_conflict(&mut running).await;
        let _next = bench.acquire(&request("k")).await;
    });
}

#[test]
fn a_statement_that_met_another_is_noticed_by_every_method() {
    run(async {
        let bench = repeatable_read().await;
        let mut running = meet(&bench, "one").await;
        assert!(
            sqlx::query(TOUCH)
                .execute(&mut *running.tx())
                .await
                .is_err()
        );
        assert_conflict(&mut running).await;
        let mut running = meet(&bench, "two").await;
        let touched = sqlx::query("UPDATE effects SET n = n + 1 RETURNING n");
        assert!(touched.fetch_optional(&mut *running.tx()).await.is_err());
        assert_conflict(&mut running).await;
        let mut running = meet(&bench, "three").await;
        let touched = sqlx::query("UPDATE effects SET n = n + 1 RETURNING n");
        assert!(touched.fetch_all(&mut *running.tx()).await.is_err());
        assert_conflict(&mut running).await;
    });
}

#[test]
fn a_conflict_on_the_bare_connection_can_be_noted() {
    run(async {
        let bench = repeatable_read().await;
        let mut running = meet(&bench, "k").await;
        let mut tx = running.tx();
        let error = (&mut **tx).execute(TOUCH).await.unwrap_err();
        tx.note(&error);
        drop(tx);
        assert_conflict(&mut running).await;
    });
}

/// The server refuses everything after the error, and says no more what it was.
#[test]
fn a_conflict_that_the_handler_overlooked_is_still_one() {
    run(async {
        let bench = repeatable_read().await;
        let mut running = meet(&bench, "k").await;
        assert!(running.tx().execute(TOUCH).await.is_err());
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Conflict);
        let _next = bench.acquire(&request("k")).await;
    });
}

#[test]
fn another_error_that_the_handler_overlooked_rolls_back() {
    run(async {
        let bench = repeatable_read().await;
        let mut running = bench.acquire(&request("k")).await;
        assert!(running.tx().execute("SELECT 1 / 0").await.is_err());
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        let _next = bench.acquire(&request("k")).await;
    });
}

#[test]
fn transactions_that_cannot_be_put_in_an_order_conflict_at_the_commit() {
    run(async {
        let bench = bench_with(|builder| builder.isolation(Isolation::Serializable)).await;
        let mut one = bench.acquire(&request("one")).await;
        let mut other = bench.acquire(&request("other")).await;
        // Each reads what the other writes.
        for running in [&one, &other] {
            let mut tx = running.tx();
            tx.execute("SELECT count(*) FROM effects").await.unwrap();
            write(&mut tx).await;
        }
        assert_eq!(one.complete().await.unwrap(), Settled::Applied);
        let error = other.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Conflict);
        assert!(bench.is_done().await);
        let mut again = bench.acquire(&request("other")).await;
        again.write().await;
        assert_eq!(again.complete().await.unwrap(), Settled::Applied);
    });
}

/// A fleet that meets often must not open a connection for each time.
#[test]
fn a_conflict_costs_no_connection_and_frees_the_key_at_once() {
    run(async {
        let bench = repeatable_read().await;
        let mut backends = std::collections::HashSet::new();
        for _ in 0..20 {
            let mut running = meet(&bench, "k").await;
            backends.insert(running.pid().await);
            assert!(running.tx().execute(TOUCH).await.is_err());
            let error = running.complete().await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Conflict);
        }
        // One that is on its way back is not there for the next claim.
        assert!(backends.len() <= 8, "{} connections", backends.len());
    });
}

#[test]
fn a_deadlock_is_a_conflict() {
    run(async {
        let bench = bench_with(|builder| builder).await;
        for n in [1, 2] {
            let sql = format!("INSERT INTO effects VALUES ({n})");
            bench.postgres.execute(&sql).await;
        }
        let mut running = bench.acquire(&request("k")).await;
        let mut other = bench.postgres.pool.begin().await.unwrap();
        // So that the server chooses the execution's transaction.
        other
            .execute("SET LOCAL deadlock_timeout = '20s'")
            .await
            .unwrap();
        other
            .execute("UPDATE effects SET n = 2 WHERE n = 2")
            .await
            .unwrap();
        let mut tx = running.tx();
        tx.execute("SET LOCAL deadlock_timeout = '50ms'")
            .await
            .unwrap();
        tx.execute("UPDATE effects SET n = 1 WHERE n = 1")
            .await
            .unwrap();
        let crossing = async {
            let sql = "UPDATE effects SET n = 1 WHERE n = 1";
            other.execute(sql).await.unwrap();
        };
        let met = async {
            let sql = "UPDATE effects SET n = 2 WHERE n = 2";
            assert!(tx.execute(sql).await.is_err());
            drop(tx);
            assert_conflict(&mut running).await;
        };
        tokio::join!(crossing, met);
        other.rollback().await.unwrap();
    });
}

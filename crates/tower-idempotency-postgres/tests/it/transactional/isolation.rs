//! Levels above read committed.

use tower_idempotency_core::{Claim, Execution, Settled, Steps, Store, StoreErrorKind};
use tower_idempotency_postgres::Isolation;
use tower_idempotency_testkit::run;

use super::support::{Bench, bench_with};
use crate::support::request;

async fn at(isolation: Isolation) -> Bench {
    bench_with(|builder| builder.isolation(isolation)).await
}

const LEVELS: [(Isolation, &str); 3] = [
    (Isolation::ReadCommitted, "read committed"),
    (Isolation::RepeatableRead, "repeatable read"),
    (Isolation::Serializable, "serializable"),
];

#[test]
fn a_handler_runs_at_the_level_that_was_chosen() {
    run(async {
        for (isolation, name) in LEVELS {
            let bench = at(isolation).await;
            let mut running = bench.acquire(&request("k")).await;
            let level: String = sqlx::query_scalar("SHOW transaction_isolation")
                .fetch_one(&mut *running.tx())
                .await
                .unwrap();
            assert_eq!(level, name);
            running.write().await;
            assert_eq!(running.complete().await.unwrap(), Settled::Applied);
            assert!(bench.is_done().await);
            assert_eq!(bench.refused(&request("k")).await, "completed");
        }
    });
}

/// Many clients that come again until they have a response, and one effect.
#[test]
fn a_key_that_many_hammer_has_one_effect_at_every_level() {
    run(async {
        for (isolation, name) in LEVELS {
            let bench = at(isolation).await;
            let clients = (0..8).map(|_| async {
                loop {
                    match bench.store.claim(&request("k")).await.unwrap() {
                        Claim::Completed(_) => return,
                        Claim::InProgress { .. } => tokio::task::yield_now().await,
                        Claim::Acquired(execution) => execute(execution).await,
                        other => panic!("unexpected: {other:?}"),
                    }
                }
            });
            futures_util::future::join_all(clients).await;
            assert!(bench.is_done().await, "{name}");
        }
    });
}

async fn execute(mut execution: tower_idempotency_postgres::TransactionExecution) {
    let mut extensions = http::Extensions::new();
    execution.install(&mut extensions);
    let mut tx = tower_idempotency_postgres::Tx::take_from(&extensions).unwrap();
    super::support::write(&mut tx).await;
    drop(tx);
    match execution.complete(&crate::support::completed(9)).await {
        Ok(_) => {}
        // It saw nothing of the first one's commit, and comes again.
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
    }
}

/// What a step leaves is committed beside the transaction, after its snapshot.
#[test]
fn a_step_above_read_committed_is_a_conflict_once() {
    run(async {
        for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
            let bench = at(isolation).await;
            let mut running = bench.acquire(&request("k")).await;
            let kept = running.execution.steps().keep(&Steps::from("one")).await;
            assert_eq!(kept.unwrap(), Settled::Applied);
            running.write().await;
            let error = running.complete().await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Conflict);
            let mut again = bench.acquire(&request("k")).await;
            let found = again.execution.steps().load().await.unwrap();
            assert_eq!(found.as_deref(), Some("one"));
            again.write().await;
            assert_eq!(again.complete().await.unwrap(), Settled::Applied);
            assert!(bench.is_done().await);
        }
    });
}

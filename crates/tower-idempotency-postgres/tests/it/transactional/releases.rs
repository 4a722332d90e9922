//! Giving a key up, and losing it.

use sqlx::Executor;
use tower_idempotency_core::{
    Attempt, Execution, Failure, FailureCategory, RecordState, Release, Settled, Standing, Steps,
    Store,
};
use tower_idempotency_testkit::run;

use super::support::{bench, eventually};
use crate::support::request;

fn failed() -> Release {
    Release::Failed(Failure::permanent("status 500"))
}

#[test]
fn a_failure_rolls_back_and_is_recorded() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        let settled = running.execution.release(&failed()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        assert_eq!(running.execution.standing().await.unwrap(), Standing::Lost);
        assert_eq!(bench.effects().await, 0);
        let record = bench.store.lookup(&request("k").id).await.unwrap().unwrap();
        assert_eq!(record.info.state, RecordState::Failed);
        assert_eq!(record.info.attempt, 1);
        let failure = record.info.failure.unwrap();
        assert_eq!(failure.category, FailureCategory::Permanent);
        assert_eq!(failure.error, "status 500");
        let next = bench.acquire(&request("k")).await;
        assert_eq!(next.execution.attempt(), Attempt::new(2, false));
        eventually("one connection is held", async || bench.in_use() == 1).await;
    });
}

#[test]
fn a_failed_execution_leaves_its_steps_to_the_next() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let steps = running.execution.steps();
        assert_eq!(steps.load().await.unwrap(), None);
        let kept = steps.keep(&Steps::from("one")).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        assert_eq!(bench.refused(&request("k")).await, "in progress");
        let kept = steps.keep(&Steps::from("one, two")).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        let _ = running.execution.release(&failed()).await.unwrap();
        let mut next = bench.acquire(&request("k")).await;
        assert_eq!(next.execution.attempt(), Attempt::new(2, false));
        let found = next.execution.steps().load().await.unwrap();
        assert_eq!(found.as_deref(), Some("one, two"));
        next.write().await;
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_freed_key_is_absent_with_its_steps() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let kept = running.execution.steps().keep(&Steps::from("one")).await;
        assert_eq!(kept.unwrap(), Settled::Applied);
        let settled = running.execution.release(&Release::Free).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        let settled = running.execution.release(&Release::Free).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        assert!(
            bench
                .store
                .lookup(&request("k").id)
                .await
                .unwrap()
                .is_none()
        );
        let next = bench.acquire(&request("k")).await;
        assert_eq!(next.execution.attempt(), Attempt::FIRST);
    });
}

#[test]
fn a_dropped_execution_frees_the_key() {
    run(async {
        let bench = bench().await;
        let running = bench.acquire(&request("k")).await;
        running.write().await;
        drop(running);
        let _next = bench.acquire_soon(&request("k")).await;
        assert_eq!(bench.effects().await, 0);
    });
}

/// A task that the handler has started may hold on to the request for long.
#[test]
fn a_dropped_execution_frees_the_key_whoever_still_has_the_request() {
    run(async {
        let bench = bench().await;
        let running = bench.acquire(&request("k")).await;
        running.write().await;
        let _kept = running.extensions;
        drop(running.execution);
        let _next = bench.acquire_soon(&request("k")).await;
        assert_eq!(bench.effects().await, 0);
    });
}

/// A process whose transaction was ended may go on with its steps.
#[test]
fn steps_that_are_kept_late_do_not_harm_the_next_execution() {
    run(async {
        let bench = bench().await;
        let running = bench.acquire(&request("k")).await;
        let pid = running.pid().await;
        let steps = running.execution.steps();
        bench.terminate(pid).await;
        let mut next = bench.acquire_soon(&request("k")).await;
        next.write().await;
        // The first has not noticed yet that it has lost the key.
        let _ = steps.keep(&Steps::from("late")).await.unwrap();
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

/// Between the rollback and its note, another execution may have begun.
#[test]
fn a_failure_is_not_noted_once_another_execution_has_begun() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.tx().execute("ROLLBACK").await.unwrap();
        let mut next = bench.acquire(&request("k")).await;
        next.write().await;
        let settled = running.execution.release(&failed()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        let records = bench.number("SELECT count(*) FROM idempotency_keys").await;
        assert_eq!(records, 0);
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

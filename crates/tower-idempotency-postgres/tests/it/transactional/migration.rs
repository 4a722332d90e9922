//! Beside processes that use leases.

use std::time::Duration;

use sqlx::Executor;
use tower_idempotency_core::{
    Attempt, Claim, CrashPolicy, Execution, Failure, FencedTransaction, RecordState, Release,
    Renewal, Resolution, Resolved, Settled, Standing, Steps, Store, StoreErrorKind,
};
use tower_idempotency_postgres::PostgresFence;
use tower_idempotency_testkit::{Harness, run};

use super::support::{Bench, bench};
use crate::support::{acquire, complete, completed, request};

/// A leased record whose owner has not been heard of since its lease ran out.
async fn dead_lease(bench: &Bench) -> tower_idempotency_postgres::PostgresExecution {
    let leased = acquire(bench.store.store(), &request("k")).await;
    bench.postgres.advance(Duration::from_secs(31)).await;
    leased
}

async fn assert_one_record(bench: &Bench, attempt: u32) {
    let records = bench.number("SELECT count(*) FROM idempotency_keys").await;
    assert_eq!(records, 1);
    let record = bench.store.lookup(&request("k").id).await.unwrap().unwrap();
    assert_eq!(record.info.state, RecordState::Completed);
    assert_eq!(record.info.attempt, attempt);
}

#[test]
fn a_live_lease_is_in_progress() {
    run(async {
        let bench = bench().await;
        let mut leased = acquire(bench.store.store(), &request("k")).await;
        match bench.store.claim(&request("k")).await.unwrap() {
            Claim::InProgress { remaining } => assert!(remaining > Duration::from_secs(25)),
            other => panic!("expected in progress: {other:?}"),
        }
        assert!(
            bench
                .store
                .ended(&[request("k").id])
                .await
                .unwrap()
                .is_empty()
        );
        complete(&mut leased).await;
        assert_eq!(bench.refused(&request("k")).await, "completed");
    });
}

#[test]
fn a_dead_lease_is_taken_over() {
    run(async {
        let bench = bench().await;
        let mut leased = dead_lease(&bench).await;
        let mut held = request("k");
        held.crash_policy = CrashPolicy::Hold;
        assert_eq!(bench.refused(&held).await, "outcome unknown");
        let mut running = bench.acquire(&request("k")).await;
        assert_eq!(running.execution.attempt(), Attempt::new(2, true));
        running.write().await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
        assert_one_record(&bench, 2).await;
        let settled = leased.complete(&completed(1)).await.unwrap();
        assert_eq!(settled, Settled::Stale);
        assert_eq!(leased.renew().await.unwrap(), Renewal::Lost);
        assert_one_record(&bench, 2).await;
    });
}

#[test]
fn a_dead_owner_that_completes_after_all_wins_and_the_transaction_is_rolled_back() {
    run(async {
        let bench = bench().await;
        let mut leased = dead_lease(&bench).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        complete(&mut leased).await;
        assert_eq!(running.complete().await.unwrap(), Settled::Stale);
        assert_eq!(bench.effects().await, 0);
        assert_one_record(&bench, 1).await;
    });
}

/// Its lease is live again, so the other execution must not count on its effects.
#[test]
fn a_dead_owner_that_renews_after_all_keeps_its_key() {
    run(async {
        let bench = bench().await;
        let mut leased = dead_lease(&bench).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        assert_eq!(leased.renew().await.unwrap(), Renewal::Renewed);
        assert_eq!(running.complete().await.unwrap(), Settled::Stale);
        assert_eq!(bench.effects().await, 0);
        complete(&mut leased).await;
        assert_one_record(&bench, 1).await;
    });
}

/// Neither does its failure, or the results of its steps.
#[test]
fn a_dead_owner_that_renews_after_all_is_not_touched() {
    run(async {
        let bench = bench().await;
        let mut leased = dead_lease(&bench).await;
        let failed = Release::Failed(Failure::transient("status 500"));
        for release in [failed, Release::Free] {
            let mut running = bench.acquire(&request("k")).await;
            assert_eq!(leased.renew().await.unwrap(), Renewal::Renewed);
            let kept = running.execution.steps().keep(&Steps::from("one")).await;
            assert_eq!(kept.unwrap(), Settled::Stale);
            let settled = running.execution.release(&release).await.unwrap();
            assert_eq!(settled, Settled::Applied);
            assert_eq!(leased.standing().await.unwrap(), Standing::InProgress);
            bench.postgres.advance(Duration::from_secs(31)).await;
        }
        complete(&mut leased).await;
        assert_one_record(&bench, 1).await;
    });
}

/// A process of the old kind knows nothing of locks.
#[test]
fn a_lease_that_begins_beside_a_transaction_wins() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        let mut leased = acquire(bench.store.store(), &request("k")).await;
        assert_eq!(running.complete().await.unwrap(), Settled::Stale);
        assert_eq!(bench.effects().await, 0);
        complete(&mut leased).await;
        assert_one_record(&bench, 1).await;
    });
}

#[test]
fn a_lease_that_takes_over_beside_a_transaction_wins() {
    run(async {
        let bench = bench().await;
        let _dead = dead_lease(&bench).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        let mut leased = acquire(bench.store.store(), &request("k")).await;
        assert_eq!(running.complete().await.unwrap(), Settled::Stale);
        assert_eq!(bench.effects().await, 0);
        complete(&mut leased).await;
        assert_one_record(&bench, 2).await;
    });
}

#[test]
fn a_lease_that_begins_after_a_transaction_finds_its_response() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        let claim = bench.store.store().claim(&request("k")).await.unwrap();
        assert!(matches!(claim, Claim::Completed(_)));
    });
}

#[test]
fn a_key_that_an_operator_answers_meanwhile_is_not_executed() {
    run(async {
        let bench = bench().await;
        let _dead = dead_lease(&bench).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        let answer = Resolution::Answer(completed(3));
        let resolved = bench
            .store
            .resolve(&request("k").id, &answer)
            .await
            .unwrap();
        assert_eq!(resolved, Resolved::Applied);
        assert_eq!(running.complete().await.unwrap(), Settled::Stale);
        assert_eq!(bench.effects().await, 0);
        assert_one_record(&bench, 1).await;
    });
}

#[test]
fn a_key_that_an_operator_frees_meanwhile_is_executed() {
    run(async {
        let bench = bench().await;
        let _dead = dead_lease(&bench).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        let id = request("k").id;
        let resolved = bench.store.resolve(&id, &Resolution::Free).await.unwrap();
        assert_eq!(resolved, Resolved::Applied);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

/// It holds the row for as long as it likes, so the transaction waits within its bound.
#[test]
fn a_dead_owner_that_is_just_committing_wins_or_costs_the_bound() {
    run(async {
        let bench = super::support::hasty().await;
        let mut leased = dead_lease(&bench).await;
        let mut extensions = http::Extensions::new();
        leased.install(&mut extensions);
        let fence = extensions.get::<PostgresFence>().unwrap().clone();
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        let mut transaction = bench.postgres.pool.begin().await.unwrap();
        let kept = transaction.complete(&fence, &completed(1)).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        let begun = std::time::Instant::now();
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert!(begun.elapsed() < Duration::from_secs(4));
        transaction.commit().await.unwrap();
        assert_eq!(bench.effects().await, 0);
        assert_one_record(&bench, 1).await;
    });
}

#[test]
fn a_failure_is_not_noted_at_any_cost() {
    run(async {
        let bench = super::support::hasty().await;
        let _dead = dead_lease(&bench).await;
        let failed = Release::Failed(Failure::transient("status 500"));
        for release in [failed, Release::Free] {
            // The note that was given up may still be at it for a moment.
            let mut running = bench.acquire_soon(&request("k")).await;
            let mut holder = bench.postgres.pool.begin().await.unwrap();
            let lock = "SELECT FROM idempotency_keys FOR UPDATE";
            holder.execute(lock).await.unwrap();
            let released = running.execution.release(&release);
            let released = tokio::time::timeout(Duration::from_secs(10), released).await;
            let settled = released.expect("a release is bounded").unwrap();
            assert_eq!(settled, Settled::Applied);
            holder.rollback().await.unwrap();
        }
    });
}

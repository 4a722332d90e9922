//! Leases that ran out.

use std::sync::Arc;

use tower_idempotency_core::{Attempt, CrashPolicy, Execution, Failure, Release, Renewal, Settled};

use super::support::{
    DAY, PAST_LEASE, acquire, again, complete, completed, fingerprint, record, refused, replayed,
    request, response,
};
use crate::Harness;

/// With `Retry`, the next request has the key, and knows that it takes it over.
pub async fn a_dead_lease_is_taken_over<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::new(2, true));
    assert_eq!(
        refused(harness.store(), &again(&first)).await,
        "in progress"
    );
}

/// Another request does not get the key of one that may have been carried out.
pub async fn a_mismatch_takes_nothing_over<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let mut other = again(&first);
    other.fingerprint = fingerprint(2);
    assert_eq!(refused(harness.store(), &other).await, "mismatch");
}

/// With `Hold`, the key stays as it is, however long that takes.
pub async fn a_held_key_waits_for_an_operator<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let _dead = acquire(harness.store(), &first).await;
    assert_eq!(
        refused(harness.store(), &again(&first)).await,
        "in progress"
    );
    for wait in [PAST_LEASE, DAY * 365] {
        harness.advance(wait).await;
        assert_eq!(
            refused(harness.store(), &again(&first)).await,
            "outcome unknown"
        );
    }
    assert_eq!(record(harness.store(), &first).await.info.attempt, 1);
}

/// The owner of a held key may come back after all.
pub async fn a_held_key_is_completed_by_its_late_owner<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let mut late = acquire(harness.store(), &first).await;
    harness.advance(DAY * 30).await;
    assert_eq!(
        refused(harness.store(), &again(&first)).await,
        "outcome unknown"
    );
    complete(&mut late, "late").await;
    assert_eq!(replayed(harness.store(), &first).await, response("late"));
}

/// Attempts go on over takeovers and failures, and only takeovers are called so.
pub async fn attempts_are_counted_over_takeovers_and_failures<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let _dead = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let mut second = acquire(store, &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::new(2, true));
    let release = Release::Failed(Failure::transient("status 500"));
    let settled = second.release(&release).await.expect("the store answers");
    assert_eq!(settled, Settled::Applied);
    let third = acquire(store, &again(&first)).await;
    assert_eq!(third.attempt(), Attempt::new(3, false));
    assert_eq!(record(store, &first).await.info.attempt, 3);
}

/// Two executions that lost a key, one after the other, are both told so.
pub async fn whoever_lost_the_key_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut lost = Vec::new();
    for _ in 0..2 {
        lost.push(acquire(store, &again(&first)).await);
        harness.advance(PAST_LEASE).await;
    }
    let mut winner = acquire(store, &again(&first)).await;
    let before = record(store, &first).await;
    for execution in &mut lost {
        let settled = execution.complete(&completed("lost")).await;
        assert_eq!(settled.expect("the store answers"), Settled::Stale);
        assert_eq!(
            execution.renew().await.expect("the store answers"),
            Renewal::Lost
        );
    }
    assert_eq!(record(store, &first).await, before);
    complete(&mut winner, "winner").await;
}

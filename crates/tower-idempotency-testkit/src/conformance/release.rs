//! Giving a key up.

use std::sync::Arc;

use tower_idempotency_core::{
    Attempt, Execution, Failure, FailureCategory, RecordState, Release, Renewal, Settled,
};

use super::support::{
    PAST_LEASE, acquire, again, assert_fenced, complete_with, completed, differing, fail, failed,
    lookup, record, refused, release, renew, request,
};
use crate::Harness;

/// The next request runs, as the next attempt, and it is no takeover.
pub async fn a_failed_key_is_claimed_again<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    fail(&mut acquire(harness.store(), &first).await).await;
    let second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::new(2, false));
}

/// A corrected request may come with the key of the failed one, and is then the one to repeat.
pub async fn a_failed_key_takes_another_request<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    fail(&mut acquire(store, &first).await).await;
    let corrected = differing(&first);
    let second = acquire(store, &corrected).await;
    assert_eq!(second.attempt(), Attempt::new(2, false));
    assert_eq!(refused(store, &again(&first)).await, "mismatch");
    assert_eq!(refused(store, &again(&corrected)).await, "in progress");
}

/// Attempt, category, reason and time stay until the retention is over or the key runs again.
pub async fn a_failure_is_kept_for_inspection<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    let verb = Release::Failed(Failure::permanent("status 501"));
    assert_eq!(release(&mut execution, &verb).await, Settled::Applied);

    let info = record(store, &first).await.info;
    let failure = info.failure.expect("the failure is kept");
    assert_eq!(info.state, RecordState::Failed);
    assert_eq!(info.attempt, 1);
    assert_eq!(failure.category, FailureCategory::Permanent);
    assert_eq!(failure.error, "status 501");
    assert!(info.ended_at.is_some() && info.expires_at.is_some());
    assert!(info.lease_expires_at.is_none());

    let _execution = acquire(store, &again(&first)).await;
    let info = record(store, &first).await.info;
    assert_eq!(info.state, RecordState::InProgress);
    assert!(info.failure.is_none() && info.ended_at.is_none());
}

/// The words of a failure come from anywhere. They must not keep the key from being given up.
pub async fn a_failure_may_say_anything<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for (key, words) in [
        ("empty", String::new()),
        ("quotes", "it's \"down\"; drop table x;--".to_owned()),
        ("emoji", "🦀 panicked".to_owned()),
        ("nul", "before\0after".to_owned()),
        ("long", "e".repeat(10 * 1024)),
    ] {
        let first = request(key);
        let mut execution = acquire(store, &first).await;
        let verb = Release::Failed(Failure::transient(words.clone()));
        assert_eq!(release(&mut execution, &verb).await, Settled::Applied);
        let failure = record(store, &first).await.info.failure;
        let kept = failure.expect("the failure is kept").error;
        // A store whose text cannot hold NUL may show something else for it.
        assert!(kept == words || words.contains('\0'), "{key}: {kept}");
    }
}

/// A freed key is as if it had never been used.
pub async fn a_freed_key_is_absent<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    let settled = release(&mut execution, &Release::Free).await;
    assert_eq!(settled, Settled::Applied);
    assert_eq!(lookup(store, &first).await, None);

    let other = acquire(store, &differing(&first)).await;
    assert_eq!(other.attempt(), Attempt::FIRST);
}

/// A freed key is not brought back by the execution that freed it.
pub async fn a_freed_key_cannot_be_completed_or_renewed<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    let settled = release(&mut execution, &Release::Free).await;
    assert_eq!(settled, Settled::Applied);

    assert_eq!(renew(&mut execution).await, Renewal::Lost);
    let settled = complete_with(&mut execution, &completed("late")).await;
    assert_eq!(settled, Settled::Stale);
    assert_eq!(lookup(store, &first).await, None);
}

/// Whoever lost the key cannot give it up.
pub async fn releasing_is_fenced_by_the_token<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut stale = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let _winner = acquire(store, &again(&first)).await;
    let before = record(store, &first).await;
    for verb in [Release::Free, failed()] {
        assert_eq!(release(&mut stale, &verb).await, Settled::Stale);
    }
    assert_eq!(record(store, &first).await, before);
}

/// An execution that freed its key has nothing to do with the next one,
/// although both are the first attempt.
pub async fn whoever_freed_a_key_cannot_touch_the_next_execution<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut freed = acquire(store, &first).await;
    let settled = release(&mut freed, &Release::Free).await;
    assert_eq!(settled, Settled::Applied);
    let next = acquire(store, &again(&first)).await;
    assert_eq!(next.attempt(), Attempt::FIRST);
    assert_fenced(store, &mut freed, &first).await;
}

/// Nor has one that failed.
pub async fn whoever_failed_cannot_touch_the_next_execution<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut failing = acquire(store, &first).await;
    fail(&mut failing).await;
    let mut next = acquire(store, &again(&first)).await;
    assert_fenced(store, &mut failing, &first).await;
    // Two failures of one key are two, and the earlier execution owns neither.
    fail(&mut next).await;
    assert_fenced(store, &mut failing, &first).await;
}

/// A lease that ran out does no harm as long as nobody took the key.
pub async fn a_late_release_counts_if_nobody_took_over<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let (failing, freeing) = (request("failing"), request("freeing"));
    let mut to_fail = acquire(store, &failing).await;
    let mut to_free = acquire(store, &freeing).await;
    harness.advance(PAST_LEASE).await;
    fail(&mut to_fail).await;
    let settled = release(&mut to_free, &Release::Free).await;
    assert_eq!(settled, Settled::Applied);

    let failed = acquire(store, &again(&failing)).await;
    assert_eq!(failed.attempt(), Attempt::new(2, false));
    let freed = acquire(store, &again(&freeing)).await;
    assert_eq!(freed.attempt(), Attempt::FIRST);
}

//! Completing.

use std::sync::Arc;

use tower_idempotency_core::{RecordState, Release, Renewal, Settled};

use super::support::{
    DAY, PAST_LEASE, acquire, again, assert_fenced, complete, complete_with, completed, fail,
    failed, lookup, record, refused, release, renew, replayed, request, response,
};
use crate::Harness;

/// The kept response answers every later claim.
pub async fn a_completed_key_is_replayed<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    complete(&mut acquire(harness.store(), &first).await, "done").await;
    for _ in 0..3 {
        assert_eq!(replayed(harness.store(), &first).await, response("done"));
    }
}

/// Whoever lost the key cannot complete it, and is told so.
pub async fn completing_is_fenced_by_the_token<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut stale = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let mut winner = acquire(store, &again(&first)).await;

    let before = record(store, &first).await;
    let settled = complete_with(&mut stale, &completed("stale")).await;
    assert_eq!(settled, Settled::Stale);
    assert_eq!(record(store, &first).await, before);
    assert_eq!(refused(store, &again(&first)).await, "in progress");
    complete(&mut winner, "winner").await;
    assert_eq!(replayed(store, &first).await, response("winner"));
}

/// A completed record stays as it is, whatever somebody who lost the key tries.
pub async fn a_completed_record_cannot_be_changed_by_another<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut stale = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    complete(&mut acquire(store, &again(&first)).await, "winner").await;
    assert_fenced(store, &mut stale, &first).await;
    assert_eq!(replayed(store, &first).await, response("winner"));
}

/// A lease that ran out does no harm as long as nobody took the key.
pub async fn a_late_completion_counts_if_nobody_took_over<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    complete(&mut execution, "late").await;
    assert_eq!(replayed(harness.store(), &first).await, response("late"));
}

/// An abandoned record that has expired is absent, for its owner too.
pub async fn a_completion_after_expiry_is_stale<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    harness.advance(DAY + PAST_LEASE).await;
    let settled = complete_with(&mut execution, &completed("late")).await;
    assert_eq!(settled, Settled::Stale);
    assert_eq!(lookup(harness.store(), &first).await, None);
}

/// The end of an execution is its end.
pub async fn a_completed_key_cannot_be_renewed_or_released<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    complete(&mut execution, "done").await;
    let before = record(store, &first).await;

    assert_eq!(renew(&mut execution).await, Renewal::Lost);
    for verb in [Release::Free, failed()] {
        assert_eq!(release(&mut execution, &verb).await, Settled::Stale);
    }
    assert_eq!(record(store, &first).await, before);
}

/// A failure has given the key up; a response that comes after it would hide the failure.
pub async fn a_failed_key_cannot_be_completed_or_renewed<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    fail(&mut execution).await;
    let before = record(store, &first).await;

    assert_eq!(renew(&mut execution).await, Renewal::Lost);
    let settled = complete_with(&mut execution, &completed("late")).await;
    assert_eq!(settled, Settled::Stale);
    assert_eq!(record(store, &first).await, before);
    assert_eq!(before.info.state, RecordState::Failed);
}

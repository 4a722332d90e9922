//! Completing.

use std::sync::Arc;

use tower_idempotency_core::{Execution, Failure, Release, Renewal, Settled};

use super::support::{
    DAY, PAST_LEASE, acquire, again, complete, completed, record, refused, replayed, request,
    response,
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

    let settled = stale
        .complete(&completed("stale"))
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Stale);
    assert_eq!(refused(store, &again(&first)).await, "in progress");
    complete(&mut winner, "winner").await;
    assert_eq!(replayed(store, &first).await, response("winner"));
}

/// A completed record stays as it is, whoever tries to complete it anew.
pub async fn a_completed_record_cannot_be_completed_by_another<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut stale = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    complete(&mut acquire(store, &again(&first)).await, "winner").await;

    let before = record(store, &first).await;
    let settled = stale
        .complete(&completed("stale"))
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Stale);
    assert_eq!(record(store, &first).await, before);
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
    let settled = execution
        .complete(&completed("late"))
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Stale);
}

/// The end of an execution is its end.
pub async fn a_completed_key_cannot_be_renewed_or_released<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    complete(&mut execution, "done").await;
    let before = record(store, &first).await;

    assert_eq!(
        execution.renew().await.expect("the store answers"),
        Renewal::Lost
    );
    for release in [Release::Free, Release::Failed(Failure::transient("late"))] {
        let settled = execution
            .release(&release)
            .await
            .expect("the store answers");
        assert_eq!(settled, Settled::Stale);
    }
    assert_eq!(record(store, &first).await, before);
}

//! Commits whose acknowledgement never came: the caller tries again with the same token.

use std::sync::Arc;

use tower_idempotency_core::{Attempt, Execution, Release, Settled};

use super::support::{
    PAST_LEASE, PAST_RETENTION, acquire, again, complete, complete_with, completed, differing,
    execute, fail, failed, record, refused, release, replayed, request, response,
};
use crate::Harness;

/// The second try of a claim that had gone through owns the key, as the first did.
pub async fn a_claim_recognises_its_own_record<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _unacknowledged = acquire(harness.store(), &first).await;
    let mut execution = acquire(harness.store(), &first).await;
    assert_eq!(execution.attempt(), Attempt::FIRST);
    complete(&mut execution, "done").await;
    assert_eq!(replayed(harness.store(), &first).await, response("done"));
}

/// So does the second try of a takeover, as the same attempt.
pub async fn a_claim_recognises_its_own_takeover<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let takeover = again(&first);
    let _unacknowledged = acquire(harness.store(), &takeover).await;
    let execution = acquire(harness.store(), &takeover).await;
    assert_eq!(execution.attempt(), Attempt::new(2, true));
}

/// So does that of a claim that put itself in the place of a failed or an expired record.
pub async fn a_claim_recognises_its_own_replacement<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let (expired, failing) = (request("expired"), request("failing"));
    execute(store, &expired, "old").await;
    harness.advance(PAST_RETENTION).await;
    fail(&mut acquire(store, &failing).await).await;
    for (request, attempt) in [
        (differing(&expired), Attempt::FIRST),
        (differing(&failing), Attempt::new(2, false)),
    ] {
        let _unacknowledged = acquire(store, &request).await;
        let execution = acquire(store, &request).await;
        assert_eq!(execution.attempt(), attempt);
    }
}

/// Trying again takes as long as it takes: a lease that ran out meanwhile is no obstacle.
pub async fn a_claim_recognises_its_own_dead_lease<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _unacknowledged = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let mut execution = acquire(harness.store(), &first).await;
    assert_eq!(execution.attempt(), Attempt::FIRST);
    complete(&mut execution, "done").await;
}

/// A claim that is tried again after somebody took its key over has lost it.
pub async fn a_claim_that_was_taken_over_is_in_progress<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _unacknowledged = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let _winner = acquire(harness.store(), &again(&first)).await;
    assert_eq!(refused(harness.store(), &first).await, "in progress");
}

/// A completion may be repeated by its own execution.
pub async fn completing_again_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    complete(&mut execution, "done").await;
    let before = record(harness.store(), &first).await;
    let settled = complete_with(&mut execution, &completed("other")).await;
    assert_eq!(settled, Settled::Applied);
    let after = record(harness.store(), &first).await;
    assert_eq!(after, before);
    assert_eq!(after.response, Some(response("done")));
}

/// So may a failure.
pub async fn failing_again_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    fail(&mut execution).await;
    let before = record(harness.store(), &first).await;
    let settled = release(&mut execution, &failed()).await;
    assert_eq!(settled, Settled::Applied);
    assert_eq!(record(harness.store(), &first).await, before);
}

/// And so may giving a key up without a trace: what is free is as asked.
pub async fn freeing_again_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    for _ in 0..2 {
        let settled = release(&mut execution, &Release::Free).await;
        assert_eq!(settled, Settled::Applied);
    }
    let mut next = acquire(harness.store(), &again(&first)).await;
    let settled = release(&mut execution, &Release::Free).await;
    assert_eq!(settled, Settled::Stale);
    complete(&mut next, "done").await;
}

/// A claim that is tried again after its own completion gets the response, not the key.
pub async fn a_completed_claim_tried_again_is_completed<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    complete(&mut acquire(harness.store(), &first).await, "done").await;
    assert_eq!(refused(harness.store(), &first).await, "completed");
}

//! Commits whose acknowledgement never came: the caller tries again with the same token.

use std::sync::Arc;

use tower_idempotency_core::{Attempt, Execution, Failure, Release, Settled};

use super::support::{
    PAST_LEASE, acquire, again, complete, completed, record, refused, request, response,
};
use crate::Harness;

/// The second try of a claim that had gone through owns the key, as the first did.
pub async fn a_claim_recognises_its_own_record<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _unacknowledged = acquire(harness.store(), &first).await;
    let mut execution = acquire(harness.store(), &first).await;
    assert_eq!(execution.attempt(), Attempt::FIRST);
    complete(&mut execution, "done").await;
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

/// A completion may be repeated by its own execution.
pub async fn completing_again_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    complete(&mut execution, "done").await;
    let before = record(harness.store(), &first).await;
    let settled = execution.complete(&completed("other")).await;
    assert_eq!(settled.expect("the store answers"), Settled::Applied);
    let after = record(harness.store(), &first).await;
    assert_eq!(after, before);
    assert_eq!(after.response, Some(response("done")));
}

/// So may a failure.
pub async fn failing_again_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    let release = Release::Failed(Failure::transient("status 500"));
    for _ in 0..2 {
        let settled = execution
            .release(&release)
            .await
            .expect("the store answers");
        assert_eq!(settled, Settled::Applied);
    }
    assert_eq!(record(harness.store(), &first).await.info.attempt, 1);
}

/// A claim that is tried again after its own completion gets the response, not the key.
pub async fn a_completed_claim_tried_again_is_completed<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    complete(&mut acquire(harness.store(), &first).await, "done").await;
    assert_eq!(refused(harness.store(), &first).await, "completed");
}

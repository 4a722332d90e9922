//! Giving a key up.

use std::sync::Arc;

use tower_idempotency_core::{
    Attempt, Execution, Failure, FailureCategory, RecordState, Release, Settled, Store,
};

use super::support::{PAST_LEASE, acquire, again, fingerprint, record, refused, request};
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
    let first = request("k");
    fail(&mut acquire(harness.store(), &first).await).await;
    let mut corrected = again(&first);
    corrected.fingerprint = fingerprint(2);
    let _execution = acquire(harness.store(), &corrected).await;
    assert_eq!(refused(harness.store(), &again(&first)).await, "mismatch");
    assert_eq!(
        refused(harness.store(), &again(&corrected)).await,
        "in progress"
    );
}

/// Attempt, category, reason and time stay until the retention is over or the key runs again.
pub async fn a_failure_is_kept_for_inspection<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    let release = Release::Failed(Failure::permanent("status 501"));
    let settled = execution
        .release(&release)
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Applied);

    let info = record(store, &first).await.info;
    let failure = info.failure.expect("the failure is kept");
    assert_eq!(info.state, RecordState::Failed);
    assert_eq!(info.attempt, 1);
    assert_eq!(failure.category, FailureCategory::Permanent);
    assert_eq!(failure.error, "status 501");
    assert!(info.ended_at.is_some() && info.expires_at.is_some());
    assert!(info.lease_expires_at.is_none());

    let _execution = acquire(store, &again(&first)).await;
    assert_eq!(record(store, &first).await.info.failure, None);
}

/// A freed key is as if it had never been used.
pub async fn a_freed_key_is_absent<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    let settled = execution
        .release(&Release::Free)
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Applied);
    assert!(
        store
            .lookup(&first.id)
            .await
            .expect("the store answers")
            .is_none()
    );

    let mut other = again(&first);
    other.fingerprint = fingerprint(2);
    assert_eq!(acquire(store, &other).await.attempt(), Attempt::FIRST);
}

/// Whoever lost the key cannot give it up.
pub async fn releasing_is_fenced_by_the_token<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut stale = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let _winner = acquire(store, &again(&first)).await;
    let before = record(store, &first).await;
    for release in [Release::Free, Release::Failed(Failure::transient("late"))] {
        let settled = stale.release(&release).await.expect("the store answers");
        assert_eq!(settled, Settled::Stale);
    }
    assert_eq!(record(store, &first).await, before);
}

async fn fail<E: Execution>(execution: &mut E) {
    let release = Release::Failed(Failure::transient("status 503"));
    let settled = execution
        .release(&release)
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Applied);
}

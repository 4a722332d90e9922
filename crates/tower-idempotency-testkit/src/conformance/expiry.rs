//! Retention.

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::{
    Attempt, Completed, Execution, Failure, Release, Retention, Settled, Store,
};

use super::support::{
    DAY, LEASE, PAST_LEASE, acquire, again, complete, execute, fingerprint, refused, replayed,
    request, response,
};
use crate::Harness;

/// An expired key is as if it had never been used: another request, attempt 1.
pub async fn a_completed_key_is_absent_after_its_retention<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    execute(store, &first, "old").await;
    harness.advance(DAY * 7 + Duration::from_secs(1)).await;
    assert!(
        store
            .lookup(&first.id)
            .await
            .expect("the store answers")
            .is_none()
    );

    let mut other = again(&first);
    other.fingerprint = fingerprint(2);
    let mut second = acquire(store, &other).await;
    assert_eq!(second.attempt(), Attempt::FIRST);
    complete(&mut second, "new").await;
    assert_eq!(replayed(store, &other).await, response("new"));
}

/// A long execution does not eat up the time for which its response is kept.
pub async fn retention_counts_from_the_end<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    for _ in 0..12 {
        harness.advance(DAY).await;
        let _ = execution.renew().await.expect("the store answers");
    }
    complete(&mut execution, "done").await;
    harness.advance(DAY * 7 - Duration::from_secs(5)).await;
    assert_eq!(replayed(harness.store(), &first).await, response("done"));
    harness.advance(Duration::from_secs(6)).await;
    let _execution = acquire(harness.store(), &again(&first)).await;
}

/// A client that goes on retrying does not keep its key alive.
pub async fn replays_do_not_prolong_the_retention<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    for _ in 0..6 {
        harness.advance(DAY).await;
        let _ = replayed(harness.store(), &first).await;
    }
    harness.advance(DAY + Duration::from_secs(1)).await;
    let _execution = acquire(harness.store(), &again(&first)).await;
}

/// `Forever` means it.
pub async fn a_record_kept_for_ever_does_not_expire<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.retention = Retention::Forever;
    let mut execution = acquire(harness.store(), &first).await;
    let completed = Completed::new(response("done"), Retention::Forever);
    let settled = execution
        .complete(&completed)
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Applied);
    harness.advance(DAY * 36_500).await;
    let _ = harness.store().sweep(100).await.expect("the store answers");
    assert_eq!(replayed(harness.store(), &first).await, response("done"));
}

/// A failed key is forgotten after its own, shorter retention.
pub async fn a_failed_key_is_absent_after_its_retention<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    let release = Release::Failed(Failure::transient("status 500"));
    let settled = execution
        .release(&release)
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Applied);
    harness.advance(DAY + Duration::from_secs(1)).await;
    assert!(
        harness
            .store()
            .lookup(&first.id)
            .await
            .expect("the store answers")
            .is_none()
    );
    let second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::FIRST);
}

/// An execution that nobody ended is forgotten, too, counted from the end of its lease.
pub async fn an_abandoned_key_is_absent_after_the_failed_retention<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(DAY).await;
    let still = harness
        .store()
        .lookup(&first.id)
        .await
        .expect("the store answers");
    assert!(
        still.is_some(),
        "the retention counts from the end of the lease"
    );
    harness.advance(LEASE + PAST_LEASE).await;
    let second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::FIRST);
}

/// A handler may choose how long its response is kept.
pub async fn a_response_can_have_a_retention_of_its_own<H: Harness>(harness: &Arc<H>) {
    let (short, long) = (request("short"), request("long"));
    for (request, days) in [(&short, 1), (&long, 30)] {
        let mut execution = acquire(harness.store(), request).await;
        let completed = Completed::new(response("done"), Retention::For(DAY * days));
        let settled = execution
            .complete(&completed)
            .await
            .expect("the store answers");
        assert_eq!(settled, Settled::Applied);
    }
    harness.advance(DAY * 8).await;
    let _ = harness.store().sweep(100).await.expect("the store answers");
    assert_eq!(refused(harness.store(), &again(&long)).await, "completed");
    let _execution = acquire(harness.store(), &again(&short)).await;
}

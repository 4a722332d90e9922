//! Deleting what has expired.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::Barrier;
use tower_idempotency_core::{
    Attempt, Completed, CrashPolicy, Execution, Retention, Settled, Store,
};

use super::support::{
    DAY, PAST_LEASE, PAST_RETENTION, acquire, again, complete, complete_with, execute, fail,
    record, refused, replayed, request, response, sweep,
};
use crate::Harness;

/// Live, fresh, held and eternal records stay.
pub async fn only_expired_records_are_deleted<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    execute(store, &request("expired"), "done").await;
    let mut held = request("held");
    held.crash_policy = CrashPolicy::Hold;
    let _dead = acquire(store, &held).await;
    let mut eternal = request("eternal");
    eternal.retention = Retention::Forever;
    let for_ever = Completed::new(response("done"), Retention::Forever);
    let settled = complete_with(&mut acquire(store, &eternal).await, &for_ever).await;
    assert_eq!(settled, Settled::Applied);
    harness.advance(PAST_RETENTION).await;
    execute(store, &request("fresh"), "done").await;
    fail(&mut acquire(store, &request("failed")).await).await;
    let running = request("running");
    let _execution = acquire(store, &running).await;

    assert_eq!(sweep_all(store, 100).await, 1);
    assert_eq!(refused(store, &again(&held)).await, "outcome unknown");
    assert_eq!(refused(store, &again(&eternal)).await, "completed");
    assert_eq!(refused(store, &request("fresh")).await, "completed");
    assert_eq!(refused(store, &again(&running)).await, "in progress");
    assert_eq!(record(store, &request("failed")).await.info.attempt, 1);
}

/// A response that is kept longer than its claim foresaw stays that long.
pub async fn a_retention_that_became_longer_counts<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    let longer = Completed::new(response("done"), Retention::For(DAY * 30));
    let settled = complete_with(&mut execution, &longer).await;
    assert_eq!(settled, Settled::Applied);
    harness.advance(DAY * 29).await;
    assert_eq!(sweep_all(store, 100).await, 0);
    assert_eq!(replayed(store, &first).await, response("done"));
}

/// A dead lease is no expired record: its owner may yet complete it.
pub async fn a_dead_lease_is_not_deleted<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let (late, dead) = (request("late"), request("dead"));
    let mut execution = acquire(store, &late).await;
    let _dead = acquire(store, &dead).await;
    harness.advance(DAY - PAST_LEASE).await;
    assert_eq!(sweep_all(store, 100).await, 0);
    complete(&mut execution, "late").await;
    assert_eq!(replayed(store, &late).await, response("late"));
    let next = acquire(store, &again(&dead)).await;
    assert_eq!(next.attempt(), Attempt::new(2, true));
}

/// A batch is at most as large as asked for.
pub async fn a_sweep_is_bounded_and_says_that_more_is_waiting<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for name in ["a", "b", "c", "d", "e"] {
        execute(store, &request(name), "done").await;
    }
    harness.advance(PAST_RETENTION).await;
    let swept = sweep(store, 2).await;
    assert_eq!((swept.deleted, swept.more), (2, true));
    assert_eq!(sweep_all(store, 2).await, 3);
}

/// The largest limit is no error.
pub async fn a_sweep_may_be_asked_to_delete_everything<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for name in ["a", "b", "c"] {
        execute(store, &request(name), "done").await;
    }
    harness.advance(PAST_RETENTION).await;
    assert_eq!(sweep_all(store, u32::MAX).await, 3);
}

/// Records that nobody completed go as well, at the latest when the retention of completed
/// records is over, too; a store may delete what is absent later than it is absent.
pub async fn abandoned_and_failed_records_are_deleted<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let _dead = acquire(store, &request("abandoned")).await;
    fail(&mut acquire(store, &request("failed")).await).await;
    harness.advance(PAST_RETENTION + DAY).await;
    assert_eq!(sweep_all(store, 100).await, 2);
}

/// Sweeping nothing is no error.
pub async fn an_empty_store_is_swept<H: Harness>(harness: &Arc<H>) {
    let swept = sweep(harness.store(), 10).await;
    assert_eq!((swept.deleted, swept.more), (0, false));
}

/// However many sweep at once, each record goes once and nobody fails.
pub async fn sweeps_at_once_do_no_harm<H: Harness>(harness: &Arc<H>) {
    for name in ["a", "b", "c", "d", "e", "f"] {
        execute(harness.store(), &request(name), "done").await;
    }
    harness.advance(PAST_RETENTION).await;
    let live = request("live");
    execute(harness.store(), &live, "done").await;

    let barrier = Arc::new(Barrier::new(8));
    let sweeps = (0..8).map(|_| {
        let (harness, barrier) = (Arc::clone(harness), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            sweep(harness.store(), 100).await.deleted
        })
    });
    let mut deleted = 0;
    for swept in join_all(sweeps).await {
        deleted += swept.expect("a sweep does not panic");
    }
    deleted += sweep_all(harness.store(), 100).await;
    assert_eq!(deleted, 6);
    let kept = record(harness.store(), &live).await.response;
    assert_eq!(kept, Some(response("done")));
}

/// Sweeps until nothing is waiting; a store in which somebody else sweeps is asked again.
async fn sweep_all<St: Store>(store: &St, batch: u32) -> u64 {
    let mut deleted = 0;
    for _ in 0..100 {
        let swept = sweep(store, batch).await;
        assert!(
            swept.deleted <= batch.into(),
            "a batch has at most its size"
        );
        deleted += swept.deleted;
        if !swept.more && swept.deleted == 0 {
            return deleted;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("a hundred sweeps did not empty the store");
}

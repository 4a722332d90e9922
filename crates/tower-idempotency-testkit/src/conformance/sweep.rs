//! Deleting what has expired.

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::{
    Completed, CrashPolicy, Execution, Failure, Release, Retention, Settled, Store,
};

use super::support::{DAY, acquire, again, execute, record, refused, request, response};
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
    let completed = Completed::new(response("done"), Retention::Forever);
    let settled = acquire(store, &eternal).await.complete(&completed).await;
    assert_eq!(settled.expect("the store answers"), Settled::Applied);
    harness.advance(DAY * 8).await;
    execute(store, &request("fresh"), "done").await;
    let running = request("running");
    let _execution = acquire(store, &running).await;

    assert_eq!(sweep_all(store, 100).await, 1);
    assert_eq!(refused(store, &again(&held)).await, "outcome unknown");
    assert_eq!(refused(store, &again(&eternal)).await, "completed");
    assert_eq!(refused(store, &request("fresh")).await, "completed");
    assert_eq!(refused(store, &again(&running)).await, "in progress");
}

/// A batch is at most as large as asked for.
pub async fn a_sweep_is_bounded_and_says_that_more_is_waiting<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for name in ["a", "b", "c", "d", "e"] {
        execute(store, &request(name), "done").await;
    }
    harness.advance(DAY * 8).await;
    let swept = store.sweep(2).await.expect("the store answers");
    assert_eq!((swept.deleted, swept.more), (2, true));
    assert_eq!(sweep_all(store, 2).await, 3);
}

/// Records that nobody completed go as well, at the latest when the retention of completed
/// records is over, too; a store may delete what is absent later than it is absent.
pub async fn abandoned_and_failed_records_are_deleted<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let _dead = acquire(store, &request("abandoned")).await;
    let mut execution = acquire(store, &request("failed")).await;
    let release = Release::Failed(Failure::transient("status 500"));
    let settled = execution
        .release(&release)
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Applied);
    harness.advance(DAY * 7 + DAY * 2).await;
    assert_eq!(sweep_all(store, 100).await, 2);
}

/// Sweeping nothing is no error.
pub async fn an_empty_store_is_swept<H: Harness>(harness: &Arc<H>) {
    let swept = harness.store().sweep(10).await.expect("the store answers");
    assert_eq!((swept.deleted, swept.more), (0, false));
}

/// However many sweep at once, each record goes once and nobody fails.
pub async fn sweeps_at_once_do_no_harm<H: Harness>(harness: &Arc<H>) {
    for name in ["a", "b", "c", "d", "e", "f"] {
        execute(harness.store(), &request(name), "done").await;
    }
    harness.advance(DAY * 8).await;
    let live = request("live");
    execute(harness.store(), &live, "done").await;
    let sweeps = (0..8).map(|_| harness.store().sweep(100));
    let swept = futures_util::future::join_all(sweeps).await;
    let mut deleted: u64 = swept
        .into_iter()
        .map(|swept| swept.expect("the store answers").deleted)
        .sum();
    deleted += sweep_all(harness.store(), 100).await;
    assert_eq!(deleted, 6);
    assert_eq!(
        record(harness.store(), &live).await.response,
        Some(response("done"))
    );
}

/// Sweeps until nothing is waiting; a store in which somebody else sweeps is asked again.
async fn sweep_all<St: Store>(store: &St, batch: u32) -> u64 {
    let mut deleted = 0;
    for _ in 0..100 {
        let swept = store.sweep(batch).await.expect("the store answers");
        deleted += swept.deleted;
        if !swept.more && swept.deleted == 0 {
            return deleted;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("a hundred sweeps did not empty the store");
}

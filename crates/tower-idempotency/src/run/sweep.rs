//! Deleting expired records in the background.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_idempotency_core::{Store, StoreError, Swept};

use super::claim::with_jitter;
use crate::{SweepPolicy, shared::Shared};

/// The shortest rest between two batches, so that no store is asked without a pause.
const SHORTEST_REST: Duration = Duration::from_millis(10);

/// Starts the sweeper with the first keyed request: only then is there certainly a runtime.
///
/// It ends when the last layer and service are gone.
pub(super) fn begin<St: Store>(shared: &Arc<Shared<St>>) {
    if let Some(policy) = shared.settings.sweep
        && shared.runtime.begins_sweeping()
    {
        tokio::spawn(sweep_for_ever(Arc::downgrade(&shared.store), policy));
    }
}

async fn sweep_for_ever<St: Store>(store: Weak<St>, policy: SweepPolicy) {
    // The first round comes soon, so that short-lived processes sweep too.
    let mut pause = policy.every.min(Duration::from_secs(10));
    loop {
        sleep(with_jitter(pause)).await;
        if sweep_all(&store, policy.batch).await.is_none() {
            return;
        }
        pause = policy.every;
    }
}

/// Sweeps batch by batch until nothing is waiting; `None` once the store is gone.
///
/// Between two batches it rests twice as long as the last one took: so a backlog takes a third of
/// one connection's time at most, less when the store is busy, and is worked off however long it is.
/// An error ends the round, never the sweeper.
async fn sweep_all<St: Store>(store: &Weak<St>, batch: u32) -> Option<()> {
    let mut deleted = 0;
    loop {
        let begun = Instant::now();
        let swept = sweep(&*store.upgrade()?, batch).await;
        deleted += swept.deleted;
        if !swept.more {
            break;
        }
        sleep((begun.elapsed() * 2).max(SHORTEST_REST)).await;
    }
    if deleted > 0 {
        tracing::debug!(deleted, "expired records were deleted");
    }
    Some(())
}

async fn sweep<St: Store>(store: &St, batch: u32) -> Swept {
    store
        .sweep(batch)
        .await
        .unwrap_or_else(|error: StoreError| {
            let error = crate::log::chain(&error);
            tracing::warn!(error, "a sweep failed and will be tried again");
            Swept::default()
        })
}

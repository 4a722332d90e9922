//! Deleting expired records in the background.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::sleep;
use tower_idempotency_core::Store;

use super::claim::with_jitter;
use crate::{SweepPolicy, shared::Shared};

/// The most batches of one round, so that a huge backlog leaves the store some rest.
const BATCHES_PER_ROUND: u32 = 100;

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
        pause = policy.every;
        let Some(store) = store.upgrade() else {
            return;
        };
        sweep(&*store, policy.batch).await;
    }
}

/// Sweeps one round. An error ends the round, never the sweeper.
async fn sweep<St: Store>(store: &St, batch: u32) {
    let mut deleted = 0;
    for _ in 0..BATCHES_PER_ROUND {
        match store.sweep(batch).await {
            Ok(swept) => {
                deleted += swept.deleted;
                if !swept.more {
                    break;
                }
            }
            Err(error) => {
                let error = crate::log::chain(&error);
                tracing::warn!(error, "a sweep failed and will be tried again");
                break;
            }
        }
    }
    if deleted > 0 {
        tracing::debug!(deleted, "expired records were deleted");
    }
}

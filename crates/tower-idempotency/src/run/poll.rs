//! Asking the store on behalf of everybody who waits.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tower_idempotency_core::Store;

use super::claim::with_jitter;
use crate::{WaitPolicy, shared::Shared};

/// The most keys of one question, so that a statement stays small.
const KEYS_PER_QUESTION: usize = 500;

/// Starts the one poller of the process, unless it is at work already.
///
/// It ends when nobody waits any more.
pub(super) fn begin<St: Store>(shared: &Arc<Shared<St>>, policy: WaitPolicy) {
    if shared.runtime.wakers.begins_polling() {
        let shared = Arc::clone(shared);
        tokio::spawn(async move { poll(&shared, policy.poll_every).await });
    }
}

async fn poll<St: Store>(shared: &Shared<St>, every: Duration) {
    loop {
        sleep(with_jitter(every)).await;
        let Some(waited_for) = shared.runtime.wakers.waited_for() else {
            return;
        };
        for ids in waited_for.chunks(KEYS_PER_QUESTION) {
            match shared.store.ended(ids).await {
                Ok(ended) => ended.iter().for_each(|id| shared.runtime.wakers.wake(id)),
                // Those who wait ask by themselves when their time is over.
                Err(error) => {
                    let error = crate::log::chain(&error);
                    tracing::debug!(error, "keys that are waited for could not be looked at");
                }
            }
        }
    }
}

//! Settling an execution after the client has been answered.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tower_idempotency_core::{
    Completed, Execution, RecordId, Release, Settled, Store, StoreError, StoreErrorKind,
};
use tracing::Instrument;

use super::claim::with_jitter;
use crate::shared::Shared;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After a day the record of a default layer has expired, and nobody retries any more.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Goes on trying to complete an execution that ran to its end.
///
/// The handler has done its work, so the key must not be given free:
/// the lease is kept alive between the tries, and the tries end only when the response is stored,
/// somebody else has the key, or a day has passed.
pub(super) fn complete_later<St: Store>(
    shared: Arc<Shared<St>>,
    execution: St::Execution,
    id: RecordId,
    completed: Completed,
) {
    let tracker = shared.runtime.tracker.clone();
    let task = async move {
        retry(execution, &id, completed, shared.settings.lease).await;
        shared.runtime.wakers.wake(&id);
    };
    tracker.spawn(task.in_current_span());
}

/// Goes on trying to give a key up whose execution has ended.
///
/// The lease is not renewed: the same request may take the key over when it has run out. Another
/// request may not, and would otherwise be refused for as long as the record is there; the
/// confirmation that follows a question is such a one.
pub(super) fn release_later<St: Store>(
    shared: Arc<Shared<St>>,
    mut execution: St::Execution,
    id: RecordId,
    release: Release,
) {
    let tracker = shared.runtime.tracker.clone();
    let task = async move {
        let mut tries = Tries::new(LONGEST_PAUSE);
        while tries.next().await {
            match execution.release(&release).await {
                Ok(Settled::Applied) => {
                    tracing::info!(record = %id, "a key is given up after all");
                    break;
                }
                Ok(Settled::Stale) => break,
                Err(error) if error.kind().is_undone() => break,
                Err(_) => {}
            }
        }
        shared.runtime.wakers.wake(&id);
    };
    tracker.spawn(task.in_current_span());
}

async fn retry<E: Execution>(
    mut execution: E,
    id: &RecordId,
    mut completed: Completed,
    lease: Duration,
) {
    let mut tries = Tries::new(LONGEST_PAUSE.min(lease / 3));
    while tries.next().await {
        match execution.complete(&completed).await {
            Ok(Settled::Applied) => {
                tracing::info!(record = %id, "a response is stored after all");
                return;
            }
            Ok(Settled::Stale) => {
                tracing::warn!(record = %id, "a key was taken over before its response was stored");
                return;
            }
            Err(error) if error.kind().is_undone() => {
                tracing::warn!(record = %id, "a transaction was rolled back; its key is free");
                return;
            }
            Err(error) => completed = easier(completed, &error),
        }
        if let Err(error) = execution.renew().await {
            let error = crate::log::chain(&error);
            tracing::debug!(record = %id, error, "a lease could not be renewed");
        }
    }
    tracing::error!(record = %id, "a response could not be stored within a day");
}

/// Tries that come more and more seldom, for a day.
struct Tries {
    give_up: Instant,
    pause: Duration,
    longest: Duration,
}

impl Tries {
    fn new(longest: Duration) -> Self {
        Self {
            give_up: Instant::now() + GIVE_UP_AFTER,
            pause: FIRST_PAUSE,
            longest,
        }
    }

    /// Waits until it is time for the next try; returns whether there is one.
    async fn next(&mut self) -> bool {
        if Instant::now() >= self.give_up {
            return false;
        }
        sleep(with_jitter(self.pause)).await;
        self.pause = (self.pause * 2).min(self.longest);
        true
    }
}

/// A store without room may still have room for a tombstone.
fn easier(completed: Completed, error: &StoreError) -> Completed {
    if error.kind() != StoreErrorKind::Full {
        return completed;
    }
    Completed::new(completed.response.without_body(), completed.retention)
}

//! Delivering again what failed.

use std::{convert::Infallible, fmt, future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::{
    Inbox,
    attempt::{Attempted, Noted},
    deliveries::{Failed, Taken},
    error::chain,
    inbox::Shared,
};

/// The pause until the next sweep, once nothing is waiting for it.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The shortest pause between two sweeps while more is waiting.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// How many deliveries one statement deletes.
const SWEEP_BATCH: u32 = 500;

/// A background task that delivers again what is due.
///
/// Made by [`Inbox::start`]. Dropping it ends it too, without waiting.
#[must_use = "it ends when it is dropped"]
pub struct Worker {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Inbox {
    /// Starts a worker that sends deliveries that are due through `service`.
    ///
    /// Give it the router that has the inbox's layers in it, **without** what checks signatures:
    /// they were checked when the delivery arrived, and are neither kept nor valid any more.
    /// Every process may have a worker; they share the work.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn start<S, ReqBody, ResBody>(&self, service: S) -> Worker
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        ReqBody: From<Bytes> + Send + 'static,
        ResBody: Send + 'static,
    {
        let stop = CancellationToken::new();
        let work = Work {
            shared: Arc::clone(self.shared()),
            slots: Arc::new(Semaphore::new(self.shared().settings.concurrency)),
            service,
        };
        let task = tokio::spawn(work.until(stop.clone()));
        Worker {
            stop,
            task: Some(task),
        }
    }
}

impl Worker {
    /// Takes no more deliveries, and waits for those under way.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the worker ending; deliveries under way go on.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It has panicked or was aborted: then it has ended as well.
            let _ = task.await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

struct Work<S> {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    service: S,
}

impl<S> Work<S> {
    async fn until<ReqBody, ResBody>(mut self, stop: CancellationToken)
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        ReqBody: From<Bytes> + Send + 'static,
        ResBody: Send + 'static,
    {
        let mut next_sweep = Instant::now() + SWEEP_EVERY;
        while !stop.is_cancelled() {
            let is_full = self.round().await;
            if Instant::now() >= next_sweep {
                next_sweep = self.sweep().await;
            }
            let poll = self.shared.settings.poll;
            tokio::select! {
                () = stop.cancelled() => {}
                // There may be more: go on as soon as anything has ended.
                _ = self.slots.acquire(), if is_full => {}
                () = self.shared.due.notified(), if !is_full => {}
                () = sleep_until(next_sweep) => {}
                () = sleep(poll.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
            }
        }
        let all = u32::try_from(self.shared.settings.concurrency).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this waits for the last delivery.
        let _ = self.slots.acquire_many(all).await;
    }

    /// Takes as much as there are slots for; tells whether that was used up.
    async fn round<ReqBody, ResBody>(&mut self) -> bool
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        ReqBody: From<Bytes> + Send + 'static,
        ResBody: Send + 'static,
    {
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        if free == 0 {
            return true;
        }
        let patience = self.shared.settings.patience();
        let taken = match self.shared.deliveries.take(free, patience).await {
            Ok((taken, unreadable)) => {
                if unreadable > 0 {
                    tracing::error!(unreadable, "kept deliveries cannot be read");
                }
                taken
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "deliveries that are due could not be taken");
                return false;
            }
        };
        let is_full = taken.len() == free as usize;
        for delivery in taken {
            // Only this task takes permits, and no more than were free.
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                break;
            };
            let delivered = deliver(Arc::clone(&self.shared), self.service.clone(), delivery);
            tokio::spawn(async move {
                delivered.await;
                drop(slot);
            });
        }
        is_full
    }

    /// Deletes one batch, and returns when the next one is due.
    async fn sweep(&mut self) -> Instant {
        let begun = Instant::now();
        let older = self.shared.settings.retention;
        let deleted = match self.shared.deliveries.sweep(older, SWEEP_BATCH).await {
            Ok(deleted) => deleted,
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "a sweep failed and will be tried again");
                0
            }
        };
        if deleted > 0 {
            tracing::debug!(deleted, "old deliveries were deleted");
        }
        Instant::now() + pause_after(deleted, begun.elapsed())
    }
}

/// While more is waiting, the database rests as long as it was asked for the last batch.
fn pause_after(deleted: u64, took: Duration) -> Duration {
    if deleted < u64::from(SWEEP_BATCH) {
        SWEEP_EVERY
    } else {
        took.max(SHORTEST_REST)
    }
}

/// Sends one delivery through the service, where the inbox's layer notes how it ends.
async fn deliver<S, ReqBody, ResBody>(shared: Arc<Shared>, mut service: S, delivery: Taken)
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible>,
    ReqBody: From<Bytes>,
{
    let (id, attempt) = (delivery.id, delivery.attempt);
    let mut request = delivery.request.map(ReqBody::from);
    request.extensions_mut().insert(Attempted {
        id,
        trigger: Arc::from(delivery.trigger),
        attempt,
    });
    let Ok(()) = poll_fn(|cx| service.poll_ready(cx)).await;
    let Ok(response) = service.call(request).await;
    if response.extensions().get::<Noted>().is_some() {
        return;
    }
    tracing::error!(
        delivery = %id,
        status = response.status().as_u16(),
        "a delivery did not get to its trigger: the worker's router has to lead there"
    );
    let lost = Failed {
        category: "transient",
        error: "the worker's router did not lead to the trigger",
        next_in: shared.settings.retry.pause(attempt),
    };
    if let Err(error) = shared.deliveries.fail(id, attempt, &lost).await {
        let error = chain(&error);
        tracing::error!(delivery = %id, error, "the end of an attempt could not be noted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_batch_is_followed_by_another_one_soon() {
        let second = Duration::from_secs(1);
        assert_eq!(pause_after(u64::from(SWEEP_BATCH), second), second);
        assert_eq!(
            pause_after(u64::from(SWEEP_BATCH), Duration::ZERO),
            SHORTEST_REST
        );
        assert_eq!(pause_after(u64::from(SWEEP_BATCH) - 1, second), SWEEP_EVERY);
        assert_eq!(pause_after(0, second), SWEEP_EVERY);
    }
}

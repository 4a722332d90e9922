//! Keeping the lease alive while the handler runs.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::time::{Instant, sleep};
use tower_idempotency_core::{Execution, RecordId, Renewal};

use super::attended::InTask;

/// The renewals of one lease.
pub(super) struct Heartbeat<'a> {
    pub(super) id: RecordId,
    pub(super) lease: Duration,
    pub(super) in_task: &'a InTask,
}

impl Heartbeat<'_> {
    /// Runs `work` to its end and renews the lease meanwhile, at a third of its length.
    ///
    /// The work is never cancelled: not when the lease is lost (its effects cannot be undone, and
    /// settling will be refused), nor while the store is slow.
    /// A renewal that fails is tried again sooner, so that one lost packet costs no lease.
    pub(super) async fn keep_alive<E: Execution, T>(
        &self,
        execution: &mut E,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> T {
        let begun = Instant::now();
        tokio::select! {
            biased;
            output = &mut work => return output,
            () = self.moved() => {}
        }
        // In a box: most requests are answered before, and have this future on the heap.
        let rest = (self.lease / 3).saturating_sub(begun.elapsed());
        Box::pin(self.renew_during(rest, execution, work)).await
    }

    /// Renews the lease for the first time after `pause`.
    async fn renew_during<E: Execution, T>(
        &self,
        mut pause: Duration,
        execution: &mut E,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> T {
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                () = sleep(pause) => {}
            }
            let renewal = tokio::select! {
                biased;
                output = &mut work => return output,
                renewal = execution.renew() => renewal,
            };
            pause = match renewal {
                Ok(Renewal::Renewed) => self.lease / 3,
                Ok(Renewal::Lost) => {
                    let id = self.id;
                    tracing::warn!(record = %id, "an execution lost its lease and goes on");
                    return work.await;
                }
                Err(error) => {
                    let error = crate::log::chain(&error);
                    tracing::warn!(record = %self.id, error, "a lease could not be renewed");
                    self.lease / 10
                }
            };
        }
    }

    /// Waits until the job is a task, which it is before its first renewal is due: so a request
    /// that is answered soon costs no timer.
    ///
    /// Nobody has to be woken: the task's first poll comes here.
    async fn moved(&self) {
        poll_fn(|_| {
            if self.in_task.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

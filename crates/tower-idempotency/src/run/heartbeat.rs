//! Keeping the lease alive while the handler runs.

use std::{pin::pin, time::Duration};

use tokio::time::sleep;
use tower_idempotency_core::{Execution, RecordId, Renewal};

/// Runs `work` to its end and renews the lease meanwhile, at a third of its length.
///
/// The work is never cancelled: not when the lease is lost (its effects cannot be undone, and
/// settling will be refused), nor while the store is slow.
/// A renewal that fails is tried again sooner, so that one lost packet costs no lease.
pub(super) async fn keep_alive<E: Execution, T>(
    execution: &mut E,
    lease: Duration,
    id: RecordId,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut pause = lease / 3;
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
            Ok(Renewal::Renewed) => lease / 3,
            Ok(Renewal::Lost) => {
                tracing::warn!(record = %id, "an execution lost its lease and goes on");
                return work.await;
            }
            Err(error) => {
                let error = crate::log::chain(&error);
                tracing::warn!(record = %id, error, "a lease could not be renewed");
                lease / 10
            }
        };
    }
}

//! Claiming, and waiting for somebody else's execution.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};
use tower_idempotency_core::{Claim, ClaimRequest, Store, StoreError};

use crate::{WaitPolicy, shared::Shared, wake::Waiter};

/// Claims the key; where the layer waits, an execution in progress is waited for.
pub(super) async fn claim<St: Store>(
    shared: &Shared<St>,
    request: &ClaimRequest,
) -> Result<Claim<St::Execution>, StoreError> {
    let first = shared.store.claim(request).await?;
    let (Claim::InProgress { .. }, Some(policy)) = (&first, &shared.settings.wait) else {
        return Ok(first);
    };
    let Ok(_place) = shared.places.try_acquire() else {
        return Ok(first);
    };
    let mut waiter = shared.runtime.wakers.join(request.id);
    let deadline = Instant::now() + policy.at_most;
    loop {
        // Registered before the store is asked: an end in between is not missed.
        let waited = Arc::clone(&waiter.waited);
        let mut settled = pin!(waited.settled.notified());
        settled.as_mut().enable();
        let claim = shared.store.claim(request).await?;
        if !matches!(claim, Claim::InProgress { .. }) || Instant::now() >= deadline {
            return Ok(claim);
        }
        tokio::select! {
            () = settled => {}
            () = next_poll(&mut waiter, policy) => {}
            () = sleep_until(deadline) => {}
        }
    }
}

/// Ends when it is time to ask the store again; never for those whom another waiter asks for.
async fn next_poll(waiter: &mut Waiter<'_>, policy: &WaitPolicy) {
    if waiter.polls() {
        sleep(with_jitter(policy.poll_every)).await;
    } else {
        std::future::pending::<()>().await;
    }
}

/// Lengthens a pause by up to a quarter, so that processes do not ask in step.
pub(super) fn with_jitter(pause: Duration) -> Duration {
    pause + pause.mul_f64(fastrand::f64() / 4.0)
}

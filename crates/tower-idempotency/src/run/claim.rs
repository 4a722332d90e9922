//! Claiming, and waiting for somebody else's execution.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tower_idempotency_core::{Claim, ClaimRequest, Store, StoreError};

use super::poll;
use crate::{WaitPolicy, cache::Known, shared::Shared};

/// Claims the key; where the layer waits, an execution in progress is waited for.
pub(super) async fn claim<St: Store>(
    shared: &Arc<Shared<St>>,
    request: &ClaimRequest,
) -> Result<Claim<St::Execution>, StoreError> {
    let first = ask(shared, request).await?;
    match (&first, shared.settings.wait) {
        // In a box, since most claims wait for nobody.
        (Claim::InProgress { .. }, Some(policy)) => {
            Box::pin(wait(shared, request, policy, first)).await
        }
        _ => Ok(first),
    }
}

async fn wait<St: Store>(
    shared: &Arc<Shared<St>>,
    request: &ClaimRequest,
    policy: WaitPolicy,
    first: Claim<St::Execution>,
) -> Result<Claim<St::Execution>, StoreError> {
    let Ok(_place) = shared.places.try_acquire() else {
        return Ok(first);
    };
    let waiter = shared.runtime.wakers.join(request.id);
    poll::begin(shared, policy);
    let deadline = Instant::now() + policy.at_most;
    loop {
        // Registered before the store is asked: an end in between is not missed.
        let mut ended = pin!(waiter.ended.notified());
        ended.as_mut().enable();
        let claim = ask(shared, request).await?;
        if !matches!(claim, Claim::InProgress { .. }) || Instant::now() >= deadline {
            return Ok(claim);
        }
        tokio::select! {
            () = ended => {}
            () = sleep_until(deadline) => {}
        }
    }
}

/// Claims the key, and remembers the response if one is kept.
async fn ask<St: Store>(
    shared: &Shared<St>,
    request: &ClaimRequest,
) -> Result<Claim<St::Execution>, StoreError> {
    let Some(cache) = &shared.cache else {
        return shared.store.claim(request).await;
    };
    // What the store says of the record's life counts from now at the earliest.
    let asked = Instant::now();
    let claim = shared.store.claim(request).await?;
    if let Claim::Completed(kept) = &claim {
        let known = Known::new(&shared.settings, request.fingerprint, asked, kept.remaining);
        cache.keep_replayed(request.id, &kept.response, known);
    }
    Ok(claim)
}

/// Lengthens a pause by up to a quarter, so that processes do not ask in step.
pub(super) fn with_jitter(pause: Duration) -> Duration {
    pause + pause.mul_f64(fastrand::f64() / 4.0)
}

//! Renewing a lease.

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::{Claim, Execution, Renewal};

use super::support::{LEASE, PAST_LEASE, acquire, again, claim, record, refused, request};
use crate::Harness;

/// After a renewal the lease counts from there, not from the claim.
pub async fn a_renewed_lease_lasts_its_whole_length_again<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    for _ in 0..3 {
        harness.advance(LEASE * 2 / 3).await;
        assert_eq!(renew(&mut execution).await, Renewal::Renewed);
    }
    match claim(harness.store(), &again(&first)).await {
        Claim::InProgress { remaining } => {
            assert!(remaining > LEASE - Duration::from_secs(5), "{remaining:?}");
        }
        _ => panic!("a renewed lease is live"),
    }
}

/// Whoever lost the key cannot renew it.
pub async fn renewing_is_fenced_by_the_token<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut stale = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let _winner = acquire(store, &again(&first)).await;
    let before = record(store, &first).await;
    assert_eq!(renew(&mut stale).await, Renewal::Lost);
    assert_eq!(record(store, &first).await, before);
}

/// A heartbeat that comes late, but before anybody else, saves the lease.
pub async fn a_dead_lease_that_nobody_took_is_revived<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    assert_eq!(renew(&mut execution).await, Renewal::Renewed);
    assert_eq!(
        refused(harness.store(), &again(&first)).await,
        "in progress"
    );
}

async fn renew<E: Execution>(execution: &mut E) -> Renewal {
    execution.renew().await.expect("the store answers")
}

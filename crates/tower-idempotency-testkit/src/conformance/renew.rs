//! Renewing a lease.

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::{Claim, CrashPolicy, Renewal};

use super::support::{
    DAY, LEASE, PAST_LEASE, acquire, again, assert_fenced, claim, record, refused, renew, request,
};
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
            assert!(remaining <= LEASE, "{remaining:?} is more than the lease");
        }
        _ => panic!("a renewed lease is live"),
    }
}

/// A renewal moves the end of the lease, and with it the expiry of an abandoned record.
pub async fn renewing_changes_nothing_but_the_lease<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    harness.advance(LEASE / 2).await;
    let before = record(store, &first).await;
    assert_eq!(renew(&mut execution).await, Renewal::Renewed);

    let mut after = record(store, &first).await;
    assert!(after.info.lease_expires_at > before.info.lease_expires_at);
    assert!(after.info.expires_at > before.info.expires_at);
    after.info.lease_expires_at = before.info.lease_expires_at;
    after.info.expires_at = before.info.expires_at;
    assert_eq!(after, before);
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
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "in progress");
}

/// So does that of a held key, and the key is held again when the lease ends anew.
pub async fn a_held_lease_is_revived<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let mut execution = acquire(harness.store(), &first).await;
    harness.advance(DAY * 30).await;
    assert_eq!(renew(&mut execution).await, Renewal::Renewed);
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "in progress");
    harness.advance(DAY * 30).await;
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "outcome unknown");
}

/// An abandoned record that has expired is absent, and no heartbeat brings it back.
pub async fn an_expired_execution_has_lost_its_key<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    harness.advance(DAY + PAST_LEASE).await;
    assert_fenced(harness.store(), &mut execution, &first).await;
}

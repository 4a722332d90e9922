//! Leases that ran out.

use std::sync::Arc;

use tower_idempotency_core::{Attempt, CrashPolicy, Execution};

use super::support::{
    DAY, PAST_LEASE, acquire, again, assert_fenced, complete, differing, fail, lookup, record,
    refused, replayed, request, response,
};
use crate::Harness;

/// With `Retry`, the next request has the key, and knows that it takes it over.
pub async fn a_dead_lease_is_taken_over<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::new(2, true));
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "in progress");
}

/// Another request does not get the key of one that may have been carried out.
pub async fn a_mismatch_takes_nothing_over<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let before = record(harness.store(), &first).await;
    let told = refused(harness.store(), &differing(&first)).await;
    assert_eq!(told, "mismatch");
    assert_eq!(record(harness.store(), &first).await, before);
}

/// With `Hold`, the key stays as it is, however long that takes.
pub async fn a_held_key_waits_for_an_operator<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let _dead = acquire(harness.store(), &first).await;
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "in progress");
    for wait in [PAST_LEASE, DAY * 365] {
        harness.advance(wait).await;
        let told = refused(harness.store(), &again(&first)).await;
        assert_eq!(told, "outcome unknown");
    }
    assert_eq!(record(harness.store(), &first).await.info.attempt, 1);
}

/// The owner of a held key may come back after all.
pub async fn a_held_key_is_completed_by_its_late_owner<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let mut late = acquire(harness.store(), &first).await;
    harness.advance(DAY * 30).await;
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "outcome unknown");
    complete(&mut late, "late").await;
    assert_eq!(replayed(harness.store(), &first).await, response("late"));
}

/// What a dead lease means is said by the claim that finds it, not by the one that left it.
pub async fn the_later_claim_decides_about_a_dead_lease<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let _dead = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let mut holding = again(&first);
    holding.crash_policy = CrashPolicy::Hold;
    assert_eq!(refused(store, &holding).await, "outcome unknown");
    let second = acquire(store, &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::new(2, true));
}

/// A key that was held is an ordinary one once it was taken over: it expires if it is abandoned.
pub async fn a_held_key_is_freed_by_a_takeover<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let mut dead = acquire(store, &first).await;
    harness.advance(DAY * 30).await;
    let mut retrying = again(&first);
    retrying.crash_policy = CrashPolicy::Retry;
    let second = acquire(store, &retrying).await;
    assert_eq!(second.attempt(), Attempt::new(2, true));
    assert_fenced(store, &mut dead, &first).await;
    harness.advance(DAY + PAST_LEASE).await;
    assert_eq!(lookup(store, &first).await, None);
}

/// Attempts go on over takeovers and failures, and only takeovers are called so.
pub async fn attempts_are_counted_over_takeovers_and_failures<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let _dead = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let mut second = acquire(store, &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::new(2, true));
    fail(&mut second).await;
    let third = acquire(store, &again(&first)).await;
    assert_eq!(third.attempt(), Attempt::new(3, false));
    assert_eq!(record(store, &first).await.info.attempt, 3);
}

/// A record is as old as its key's first claim, until it expires.
pub async fn a_takeover_leaves_the_age_of_the_record<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let _dead = acquire(store, &first).await;
    harness.advance(PAST_LEASE).await;
    let before = record(store, &first).await.info;
    let mut second = acquire(store, &again(&first)).await;
    let taken = record(store, &first).await.info;
    assert_eq!(taken.created_at, before.created_at);
    assert!(taken.lease_expires_at > before.lease_expires_at);
    fail(&mut second).await;
    let _third = acquire(store, &again(&first)).await;
    let last = record(store, &first).await.info;
    assert_eq!(last.created_at, before.created_at);
}

/// Two executions that lost a key, one after the other, are both told so.
pub async fn whoever_lost_the_key_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut lost = Vec::new();
    for _ in 0..2 {
        lost.push(acquire(store, &again(&first)).await);
        harness.advance(PAST_LEASE).await;
    }
    let mut winner = acquire(store, &again(&first)).await;
    for execution in &mut lost {
        assert_fenced(store, execution, &first).await;
    }
    complete(&mut winner, "winner").await;
    assert_eq!(replayed(store, &first).await, response("winner"));
}

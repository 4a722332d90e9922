//! Claiming, by all but the owner.

use std::sync::Arc;

use tower_idempotency_core::{Attempt, Claim, CrashPolicy, Execution, Fingerprint, Scope, Store};

use super::support::{
    LEASE, PAST_LEASE, acquire, again, claim, complete, differing, execute, record, refused,
    replayed, request, request_in,
};
use crate::Harness;

/// A key that nobody has used is the caller's, as attempt 1.
pub async fn a_fresh_key_is_acquired<H: Harness>(harness: &Arc<H>) {
    let execution = acquire(harness.store(), &request("k")).await;
    assert_eq!(execution.attempt(), Attempt::FIRST);
}

/// While the lease is live, a duplicate learns how long that is at most.
pub async fn a_duplicate_is_in_progress<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _execution = acquire(harness.store(), &first).await;
    match claim(harness.store(), &again(&first)).await {
        Claim::InProgress { remaining } => {
            assert!(remaining <= LEASE, "{remaining:?} is more than the lease");
            assert!(!remaining.is_zero(), "a live lease has time left");
        }
        _ => panic!("a duplicate must be in progress"),
    }
}

/// The time that is left goes down, and a claim may choose its lease.
pub async fn a_lease_has_the_length_that_was_asked_for<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.lease = LEASE * 10;
    let _execution = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    match claim(harness.store(), &again(&first)).await {
        Claim::InProgress { remaining } => {
            assert!(remaining > LEASE * 8, "only {remaining:?} are left");
            assert!(remaining < LEASE * 9, "{remaining:?} are left");
        }
        _ => panic!("a duplicate must be in progress"),
    }
    harness.advance(LEASE * 9).await;
    let _execution = acquire(harness.store(), &again(&first)).await;
}

/// A store lets a lease last as long as it says that one can.
pub async fn the_longest_lease_is_no_shorter<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.lease = harness.store().limits().max_lease;
    let _execution = acquire(harness.store(), &first).await;
    harness.advance(first.lease.saturating_sub(LEASE)).await;
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "in progress");
    harness.advance(PAST_LEASE).await;
    let next = acquire(harness.store(), &again(&first)).await;
    assert_eq!(next.attempt(), Attempt::new(2, true));
}

/// Namespace, principal and route are each part of the identity.
pub async fn every_part_of_the_scope_keeps_keys_apart<H: Harness>(harness: &Arc<H>) {
    let scopes = [
        Scope::new("alice", "POST /a"),
        Scope::new("bob", "POST /a"),
        Scope::new("alice", "POST /b"),
        Scope::new("alice", "POST /a").in_namespace("n"),
        Scope::new("", ""),
    ];
    for scope in scopes {
        let _execution = acquire(harness.store(), &request_in(scope, "k")).await;
    }
}

/// Another request with the key is told so at once, not to come again later.
pub async fn another_request_is_a_mismatch_while_the_first_runs<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _execution = acquire(harness.store(), &first).await;
    let told = refused(harness.store(), &differing(&first)).await;
    assert_eq!(told, "mismatch");
}

/// A kept response is shown only to the request that it belongs to.
pub async fn another_request_is_a_mismatch_after_completion<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    let told = refused(harness.store(), &differing(&first)).await;
    assert_eq!(told, "mismatch");
}

/// The record of the first request is the same after a mismatch, running or completed.
pub async fn a_mismatch_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;

    let running = record(store, &first).await;
    let _ = refused(store, &differing(&first)).await;
    assert_eq!(record(store, &first).await, running);

    complete(&mut execution, "done").await;
    let ended = record(store, &first).await;
    let _ = refused(store, &differing(&first)).await;
    assert_eq!(record(store, &first).await, ended);
}

/// Neither does a duplicate, whatever it is told, and the owner still owns its key.
pub async fn a_refused_duplicate_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let mut execution = acquire(store, &first).await;

    let running = record(store, &first).await;
    assert_eq!(refused(store, &again(&first)).await, "in progress");
    assert_eq!(record(store, &first).await, running);

    harness.advance(PAST_LEASE).await;
    let dead = record(store, &first).await;
    assert_eq!(refused(store, &again(&first)).await, "outcome unknown");
    assert_eq!(record(store, &first).await, dead);

    complete(&mut execution, "done").await;
    let ended = record(store, &first).await;
    assert_eq!(refused(store, &again(&first)).await, "completed");
    assert_eq!(record(store, &first).await, ended);
}

/// Where one side keeps no fingerprint there is nothing to compare.
pub async fn a_switched_off_fingerprint_matches_everything<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let (with, mut without) = (request("with"), request("without"));
    without.fingerprint = Fingerprint::OFF;
    execute(store, &with, "done").await;
    execute(store, &without, "done").await;

    let mut other = again(&with);
    other.fingerprint = Fingerprint::OFF;
    assert_eq!(refused(store, &other).await, "completed");
    assert_eq!(refused(store, &differing(&without)).await, "completed");
}

/// Two servers of different releases share a store during an upgrade.
pub async fn fingerprints_of_two_algorithms_are_not_compared<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    let mut later = again(&first);
    later.fingerprint =
        Fingerprint::from_bytes(&[200; Fingerprint::BYTES]).expect("a later version");
    assert_eq!(refused(harness.store(), &later).await, "completed");
}

/// Keys and scopes are opaque: SQL, quotes, NUL, emoji, length and concatenation do no harm.
pub async fn unusual_keys_and_scopes_are_kept_apart<H: Harness>(harness: &Arc<H>) {
    let long_key = "k".repeat(255);
    let nearly_long_key = "k".repeat(254);
    let long_name = "n".repeat(10 * 1024);
    let plain = || Scope::new("a", "b");
    let cases = [
        (plain(), long_key.as_str(), "0"),
        (plain(), nearly_long_key.as_str(), "1"),
        (plain(), "x'; drop table idempotency_keys;--", "2"),
        (plain(), "a\"b;c,d\\e %s $1 ?", "3"),
        (plain(), "k", "4"),
        (plain(), "K", "5"),
        (plain(), "k ", "6"),
        (plain(), " k", "7"),
        (Scope::new("nul\0nul", "r\0"), "k", "8"),
        (Scope::new("nul\u{fffd}nul", "r\u{fffd}"), "k", "9"),
        (Scope::new("🦀", "POST /🦀"), "k", "10"),
        (
            Scope::new(long_name.as_str(), long_name.as_str()),
            "k",
            "11",
        ),
        (Scope::new("ab", "c"), "k", "12"),
        (Scope::new("a", "bc"), "k", "13"),
        (Scope::new("", "abc"), "k", "14"),
        (Scope::new("", "bc").in_namespace("a"), "k", "15"),
    ];
    for (scope, key, body) in &cases {
        execute(harness.store(), &request_in(scope.clone(), key), body).await;
    }
    for (scope, key, body) in &cases {
        let kept = replayed(harness.store(), &request_in(scope.clone(), key)).await;
        assert_eq!(kept.body().expect("a body was kept"), body);
    }
}

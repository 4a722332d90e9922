//! Claiming, by all but the owner.

use std::sync::Arc;

use tower_idempotency_core::{Attempt, Claim, Execution, Fingerprint, Scope};

use super::support::{
    LEASE, acquire, again, claim, complete, execute, fingerprint, record, refused, replayed,
    request, request_in,
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
    let mut other = again(&first);
    other.fingerprint = fingerprint(2);
    assert_eq!(refused(harness.store(), &other).await, "mismatch");
}

/// A kept response is shown only to the request that it belongs to.
pub async fn another_request_is_a_mismatch_after_completion<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    let mut other = again(&first);
    other.fingerprint = fingerprint(2);
    assert_eq!(refused(harness.store(), &other).await, "mismatch");
}

/// The record of the first request is the same after a mismatch, running or completed.
pub async fn a_mismatch_changes_nothing<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut execution = acquire(store, &first).await;
    let mut other = again(&first);
    other.fingerprint = fingerprint(2);

    let running = record(store, &first).await;
    let _ = refused(store, &other).await;
    assert_eq!(record(store, &first).await, running);

    complete(&mut execution, "done").await;
    let ended = record(store, &first).await;
    let _ = refused(store, &other).await;
    assert_eq!(record(store, &first).await, ended);
}

/// Where one side keeps no fingerprint there is nothing to compare.
pub async fn a_switched_off_fingerprint_matches_everything<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    let mut other = again(&first);
    other.fingerprint = Fingerprint::OFF;
    assert_eq!(refused(harness.store(), &other).await, "completed");
}

/// Keys and scopes are opaque: SQL, quotes, NUL, emoji, length and concatenation do no harm.
pub async fn unusual_keys_and_scopes_are_kept_apart<H: Harness>(harness: &Arc<H>) {
    let long_key = "k".repeat(255);
    let long_name = "n".repeat(10_000);
    let cases = [
        (Scope::new("a", "b"), long_key.as_str()),
        (Scope::new("a", "b"), "x'; drop table idempotency_keys;--"),
        (Scope::new("a", "b"), "a\"b;c,d\\e %s $1 ?"),
        (Scope::new("nul\0nul", "r\0"), "k"),
        (Scope::new("nul\u{fffd}nul", "r\u{fffd}"), "k"),
        (Scope::new("🦀", "POST /🦀"), "k"),
        (Scope::new(long_name.as_str(), long_name.as_str()), "k"),
        (Scope::new("ab", "c"), "k"),
        (Scope::new("a", "bc"), "k"),
        (Scope::new("", "abc"), "k"),
    ];
    for (index, (scope, key)) in cases.iter().enumerate() {
        let body: &'static str = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][index];
        execute(harness.store(), &request_in(scope.clone(), key), body).await;
    }
    for (index, (scope, key)) in cases.iter().enumerate() {
        let kept = replayed(harness.store(), &request_in(scope.clone(), key)).await;
        assert_eq!(kept.body().expect("a body was kept"), &index.to_string());
    }
}

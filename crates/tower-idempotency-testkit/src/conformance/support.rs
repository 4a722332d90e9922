//! What the cases have in common.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Fingerprint, IdempotencyKey, Record, Retention,
    Scope, Settled, Store, StoredResponse,
};

/// The lease of every case.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// Longer than the lease, shorter than any retention.
pub(super) const PAST_LEASE: Duration = Duration::from_secs(31);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A claim of `key` by a caller who is always the same, with a token of its own.
pub(super) fn request(key: &str) -> ClaimRequest {
    request_in(Scope::new("alice", "POST /payments"), key)
}

pub(super) fn request_in(scope: Scope, key: &str) -> ClaimRequest {
    let key = IdempotencyKey::new(key).expect("the case names a valid key");
    let mut request = ClaimRequest::new(scope, key, fingerprint(1));
    request.lease = LEASE;
    request
}

/// The same claim by another execution: all but the token is equal.
pub(super) fn again(request: &ClaimRequest) -> ClaimRequest {
    let mut other = ClaimRequest::new(
        request.scope.clone(),
        request.key.clone(),
        request.fingerprint,
    );
    other.lease = request.lease;
    other.crash_policy = request.crash_policy;
    other.retention = request.retention;
    other.failed_retention = request.failed_retention;
    other
}

/// A fingerprint that differs for each `seed`.
pub(super) fn fingerprint(seed: u8) -> Fingerprint {
    let mut bytes = [seed; Fingerprint::BYTES];
    bytes[0] = 1;
    Fingerprint::from_bytes(&bytes).expect("a version and 32 bytes are a fingerprint")
}

pub(super) async fn claim<St: Store>(store: &St, request: &ClaimRequest) -> Claim<St::Execution> {
    store.claim(request).await.expect("the store answers")
}

/// Claims a key that must be free.
pub(super) async fn acquire<St: Store>(store: &St, request: &ClaimRequest) -> St::Execution {
    match claim(store, request).await {
        Claim::Acquired(execution) => execution,
        other => panic!(
            "expected the key to be acquired, but it is {}",
            name(&other)
        ),
    }
}

/// Claims a key that must not be free, and returns what it is.
pub(super) async fn refused<St: Store>(store: &St, request: &ClaimRequest) -> &'static str {
    name(&claim(store, request).await)
}

pub(super) fn name<E>(claim: &Claim<E>) -> &'static str {
    match claim {
        Claim::Acquired(_) => "acquired",
        Claim::InProgress { .. } => "in progress",
        Claim::Completed(_) => "completed",
        Claim::Mismatch => "mismatch",
        Claim::OutcomeUnknown => "outcome unknown",
    }
}

pub(super) fn response(body: &'static str) -> StoredResponse {
    let mut headers = HeaderMap::new();
    headers.insert("location", HeaderValue::from_static("/payments/1"));
    StoredResponse::new(StatusCode::CREATED, &headers, body)
}

pub(super) fn completed(body: &'static str) -> Completed {
    Completed::new(response(body), Retention::COMPLETED)
}

/// Completes an execution that must still own its key.
pub(super) async fn complete<E: Execution>(execution: &mut E, body: &'static str) {
    let settled = execution.complete(&completed(body)).await;
    assert_eq!(settled.expect("the store answers"), Settled::Applied);
}

/// Claims and completes a key.
pub(super) async fn execute<St: Store>(store: &St, request: &ClaimRequest, body: &'static str) {
    complete(&mut acquire(store, request).await, body).await;
}

/// Reads the record that must be there.
pub(super) async fn record<St: Store>(store: &St, request: &ClaimRequest) -> Record {
    let record = store.lookup(&request.id).await.expect("the store answers");
    record.expect("the record is there")
}

/// Reads the response that a claim is answered with.
pub(super) async fn replayed<St: Store>(store: &St, request: &ClaimRequest) -> StoredResponse {
    match claim(store, &again(request)).await {
        Claim::Completed(response) => response,
        other => panic!("expected a kept response, but the key is {}", name(&other)),
    }
}

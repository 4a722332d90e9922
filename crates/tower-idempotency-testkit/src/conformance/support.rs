//! What the cases have in common.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Failure, Fingerprint, IdempotencyKey, Record,
    RecordId, Release, Renewal, Replay, Resolution, Resolved, Retention, Scope, Settled, Standing,
    Steps, Store, StoredResponse, Swept,
};

/// The lease of every case.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// Longer than the lease, shorter than any retention.
pub(super) const PAST_LEASE: Duration = Duration::from_secs(31);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer than the default retention of completed records, and of all others.
pub(super) const PAST_RETENTION: Duration = Duration::from_secs(8 * 24 * 60 * 60);

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
    other.max_attempts = request.max_attempts;
    other.retention = request.retention;
    other.failed_retention = request.failed_retention;
    other
}

/// A claim of the same key by somebody with another request.
pub(super) fn differing(request: &ClaimRequest) -> ClaimRequest {
    let mut other = again(request);
    other.fingerprint = fingerprint(2);
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
        Claim::Exhausted => "exhausted",
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

/// The ordinary failure.
pub(super) fn failed() -> Release {
    Release::Failed(Failure::transient("status 503"))
}

/// Completes an execution that must still own its key.
pub(super) async fn complete<E: Execution>(execution: &mut E, body: &'static str) {
    let settled = complete_with(execution, &completed(body)).await;
    assert_eq!(settled, Settled::Applied);
}

pub(super) async fn complete_with<E: Execution>(
    execution: &mut E,
    completed: &Completed,
) -> Settled {
    let settled = execution.complete(completed).await;
    settled.expect("the store answers")
}

/// Fails an execution that must still own its key.
pub(super) async fn fail<E: Execution>(execution: &mut E) {
    assert_eq!(release(execution, &failed()).await, Settled::Applied);
}

pub(super) async fn release<E: Execution>(execution: &mut E, release: &Release) -> Settled {
    let settled = execution.release(release).await;
    settled.expect("the store answers")
}

pub(super) async fn renew<E: Execution>(execution: &mut E) -> Renewal {
    execution.renew().await.expect("the store answers")
}

/// Asserts that an execution whose key is no longer its own changes nothing, whatever it tries,
/// and that it is told so each time.
pub(super) async fn assert_fenced<St: Store>(
    store: &St,
    execution: &mut St::Execution,
    request: &ClaimRequest,
) {
    let before = lookup(store, request).await;
    assert_eq!(standing(execution).await, Standing::Lost);
    let kept = execution.steps().keep(&Steps::from("stale")).await;
    assert_eq!(kept.expect("the store answers"), Settled::Stale);
    assert_eq!(renew(execution).await, Renewal::Lost);
    let after = lookup(store, request).await;
    assert_eq!(after, before, "renewed by a stale owner");
    let settled = complete_with(execution, &completed("stale")).await;
    assert_eq!(settled, Settled::Stale);
    let after = lookup(store, request).await;
    assert_eq!(after, before, "completed by a stale owner");
    for verb in [failed(), Release::Free] {
        // A key that is free already is as asked.
        let told = match (&verb, &before) {
            (Release::Free, None) => Settled::Applied,
            _ => Settled::Stale,
        };
        assert_eq!(release(execution, &verb).await, told);
        let after = lookup(store, request).await;
        assert_eq!(after, before, "released by a stale owner");
    }
}

pub(super) async fn standing<E: Execution>(execution: &mut E) -> Standing {
    execution.standing().await.expect("the store answers")
}

pub(super) async fn resolve<St: Store>(
    store: &St,
    id: &RecordId,
    resolution: &Resolution,
) -> Resolved {
    let resolved = store.resolve(id, resolution).await;
    resolved.expect("the store answers")
}

pub(super) async fn ended<St: Store>(store: &St, ids: &[RecordId]) -> Vec<RecordId> {
    store.ended(ids).await.expect("the store answers")
}

/// Reads the results of steps that an execution finds.
pub(super) async fn steps<E: Execution>(execution: &E) -> Option<Steps> {
    let loaded = execution.steps().load().await;
    loaded.expect("the store answers")
}

/// Keeps results of steps for an execution that must still own its key.
pub(super) async fn keep_steps<E: Execution>(execution: &E, text: &str) {
    let kept = execution.steps().keep(&Steps::from(text)).await;
    assert_eq!(kept.expect("the store answers"), Settled::Applied);
}

/// Claims and completes a key.
pub(super) async fn execute<St: Store>(store: &St, request: &ClaimRequest, body: &'static str) {
    complete(&mut acquire(store, request).await, body).await;
}

pub(super) async fn lookup<St: Store>(store: &St, request: &ClaimRequest) -> Option<Record> {
    let found = store.lookup(&request.id).await;
    found.expect("the store answers")
}

/// Reads the record that must be there.
pub(super) async fn record<St: Store>(store: &St, request: &ClaimRequest) -> Record {
    let record = lookup(store, request).await;
    record.expect("the record is there")
}

/// Reads the response that a claim is answered with.
pub(super) async fn replayed<St: Store>(store: &St, request: &ClaimRequest) -> StoredResponse {
    replay(store, request).await.response
}

/// Reads what a claim of a completed key is answered with.
pub(super) async fn replay<St: Store>(store: &St, request: &ClaimRequest) -> Replay {
    match claim(store, &again(request)).await {
        Claim::Completed(replay) => replay,
        other => panic!("expected a kept response, but the key is {}", name(&other)),
    }
}

pub(super) async fn sweep<St: Store>(store: &St, limit: u32) -> Swept {
    store.sweep(limit).await.expect("the store answers")
}

//! What comes back.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, Retention, Settled, Store, StoreErrorKind,
    StoredResponse,
};

use super::support::{
    PAST_RETENTION, acquire, again, complete_with, differing, execute, record, replayed, request,
};
use crate::Harness;

/// Order, duplicates and bytes that are no text survive.
pub async fn status_headers_and_body_come_back_byte_for_byte<H: Harness>(harness: &Arc<H>) {
    let mut headers = HeaderMap::new();
    headers.append("link", HeaderValue::from_static("<b>; rel=b"));
    headers.append(
        "content-type",
        HeaderValue::from_static("application/x-bytes"),
    );
    headers.append("link", HeaderValue::from_static("<a>; rel=a"));
    headers.append(
        "x-latin",
        HeaderValue::from_bytes(b"caf\xe9").expect("a legal value"),
    );
    let every_byte: Vec<u8> = (0..=255).collect();
    let status = StatusCode::from_u16(299).expect("a legal status");
    keep(harness, StoredResponse::new(status, &headers, every_byte)).await;
}

/// An empty body is kept as one.
pub async fn an_empty_body_is_not_a_tombstone<H: Harness>(harness: &Arc<H>) {
    let empty = StoredResponse::new(StatusCode::NO_CONTENT, &HeaderMap::new(), Bytes::new());
    assert!(!keep(harness, empty).await.is_tombstone());
}

/// A tombstone keeps status and headers.
pub async fn a_tombstone_has_no_body<H: Harness>(harness: &Arc<H>) {
    let mut headers = HeaderMap::new();
    headers.insert("location", HeaderValue::from_static("/files/1"));
    let tombstone = StoredResponse::tombstone(StatusCode::CREATED, &headers);
    assert!(keep(harness, tombstone).await.is_tombstone());
}

/// A mebibyte is what the layer keeps by default.
pub async fn a_large_body_comes_back<H: Harness>(harness: &Arc<H>) {
    let body: Vec<u8> = (0..1024 * 1024_u32).map(|n| n.to_be_bytes()[3]).collect();
    keep(
        harness,
        StoredResponse::new(StatusCode::OK, &HeaderMap::new(), body),
    )
    .await;
}

/// A response that cannot be read is an error of its own, and never another execution.
pub async fn a_damaged_record_is_unreadable_and_never_acquired<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    if !damaged(harness, &first).await {
        return;
    }
    for _ in 0..2 {
        let claimed = harness.store().claim(&again(&first)).await;
        let kind = claimed.err().map(|error| error.kind());
        assert_eq!(kind, Some(StoreErrorKind::Unreadable));
    }
    let found = harness.store().lookup(&first.id).await;
    let kind = found.err().map(|error| error.kind());
    assert_eq!(kind, Some(StoreErrorKind::Unreadable));
}

/// A damaged record is forgotten like any other, and its key can be used again.
pub async fn a_damaged_record_expires<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    if !damaged(harness, &first).await {
        return;
    }
    harness.advance(PAST_RETENTION).await;
    let next = acquire(harness.store(), &differing(&first)).await;
    assert_eq!(next.attempt(), Attempt::FIRST);
}

/// Damages a record, or says that this store has nothing to damage.
#[expect(
    clippy::print_stderr,
    reason = "a case that proves nothing must be seen to do so"
)]
async fn damaged<H: Harness>(harness: &Arc<H>, request: &ClaimRequest) -> bool {
    let damaged = harness.damage(&request.id).await;
    if !damaged {
        eprintln!("skipped: the store keeps no encoded form that could be damaged");
    }
    damaged
}

async fn keep<H: Harness>(harness: &Arc<H>, response: StoredResponse) -> StoredResponse {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    let completed = Completed::new(response.clone(), Retention::COMPLETED);
    let settled = complete_with(&mut execution, &completed).await;
    assert_eq!(settled, Settled::Applied);
    let kept = replayed(harness.store(), &first).await;
    assert_eq!(kept.head(), response.head());
    assert!(kept == response, "{kept:?} is not {response:?}");
    assert!(record(harness.store(), &first).await.response == Some(response));
    kept
}

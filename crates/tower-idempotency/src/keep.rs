//! The form in which a response is kept.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tower_idempotency_core::StoredResponse;

/// Keeps a response with its body, but no bytes with a status that has no body.
pub(crate) fn whole(status: StatusCode, headers: &HeaderMap, data: Bytes) -> StoredResponse {
    let bodiless = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    let data = if bodiless.contains(&status) {
        Bytes::new()
    } else {
        data
    };
    StoredResponse::new(status, headers, data)
}

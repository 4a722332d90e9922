//! The form in which a response is kept.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use tower_idempotency_core::StoredResponse;

/// Keeps a response with its body, but no bytes with a status that has no body.
pub(crate) fn whole(
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    data: Bytes,
) -> StoredResponse {
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
    StoredResponse::from_parts(status, headers, Some(data))
}

/// Keeps a response without its body.
pub(crate) fn tombstone(
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
) -> StoredResponse {
    StoredResponse::from_parts(status, headers, None)
}

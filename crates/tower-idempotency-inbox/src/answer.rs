//! What senders are answered.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use http_body::Body;
use http_body_util::{Either, Full};
use serde_json::json;
use tower_idempotency::ResponseBody;

use crate::layer::InboxBody;

/// Says what the inbox did: `executed`, `duplicate`, `accepted` or `refused`.
const INBOX: HeaderName = HeaderName::from_static("x-webhook-inbox");

/// The handler has succeeded; the sender gets its answer.
pub(crate) fn executed<B: Body>(response: Response<ResponseBody<B>>) -> Response<InboxBody<B>> {
    marked(response.map(Either::Right), "executed")
}

/// The handler has refused the delivery for good; the sender gets its refusal.
pub(crate) fn refused<B: Body>(response: Response<ResponseBody<B>>) -> Response<InboxBody<B>> {
    marked(response.map(Either::Right), "refused")
}

/// The delivery was here before: a refusal would make the sender come again.
pub(crate) fn duplicate<B: Body>() -> Response<InboxBody<B>> {
    marked(whole(StatusCode::OK, Bytes::new()), "duplicate")
}

/// The inbox has the delivery, and sees to it that it runs.
pub(crate) fn accepted<B: Body>() -> Response<InboxBody<B>> {
    marked(whole(StatusCode::ACCEPTED, Bytes::new()), "accepted")
}

/// The delivery was not kept and has to come again.
pub(crate) fn not_kept<B: Body>() -> Response<InboxBody<B>> {
    let mut response = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "INBOX_UNAVAILABLE",
        "The delivery could not be kept, and was not worked on.",
    );
    let later = HeaderValue::from_static("5");
    response.headers_mut().insert(RETRY_AFTER, later);
    response
}

pub(crate) fn too_large<B: Body>() -> Response<InboxBody<B>> {
    problem(
        StatusCode::PAYLOAD_TOO_LARGE,
        "REQUEST_TOO_LARGE",
        "The delivery is larger than the inbox keeps.",
    )
}

pub(crate) fn unreadable<B: Body>() -> Response<InboxBody<B>> {
    problem(
        StatusCode::BAD_REQUEST,
        "REQUEST_BODY_UNREADABLE",
        "The delivery could not be read to its end.",
    )
}

fn problem<B: Body>(status: StatusCode, code: &str, detail: &str) -> Response<InboxBody<B>> {
    let mut response = whole(status, problem_document(status, code, detail));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Writes an RFC 9457 problem document.
pub(crate) fn problem_document(status: StatusCode, code: &str, detail: &str) -> Bytes {
    let document = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    });
    Bytes::from(document.to_string())
}

fn whole<B: Body>(status: StatusCode, body: Bytes) -> Response<InboxBody<B>> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response
}

fn marked<B>(mut response: Response<B>, what: &'static str) -> Response<B> {
    let value = HeaderValue::from_static(what);
    response.headers_mut().insert(INBOX, value);
    response
}

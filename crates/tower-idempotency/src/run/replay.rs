//! Answering with a kept response.

use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_ENCODING},
};
use http_body::Body;
use tower_idempotency_core::StoredResponse;

use crate::{Outcome, ResponseBody, shared::Shared};

/// Makes a response of what was kept.
///
/// The length is the server's to compute, and the date its to set.
pub(super) fn replay<St, B: Body>(
    shared: &Shared<St>,
    stored: &StoredResponse,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    let mut response = unmarked(shared, stored);
    let marks = &shared.settings.response_headers;
    marks.mark_replay(&mut response, stored.is_tombstone());
    shared.report(outcome, &mut response);
    response
}

/// Makes the response itself, without saying that it is a replay.
pub(super) fn unmarked<St, B: Body>(
    shared: &Shared<St>,
    stored: &StoredResponse,
) -> Response<ResponseBody<B>> {
    let data = stored.body().cloned().unwrap_or_default();
    let mut response = Response::new(ResponseBody::whole(data, None));
    *response.status_mut() = stored.status();
    *response.headers_mut() = headers(shared, stored);
    response
}

fn headers<St>(shared: &Shared<St>, stored: &StoredResponse) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(stored.headers().len() + 2);
    for (name, value) in stored.headers() {
        if shared.settings.replayed_headers.keeps(name) {
            headers.append(name, value.clone());
        }
    }
    if stored.is_tombstone() {
        // There are no bytes that could be decoded.
        headers.remove(CONTENT_ENCODING);
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
}

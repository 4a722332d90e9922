//! Answering with a kept response.

use http::{
    HeaderMap, HeaderValue, Response,
    header::{CACHE_CONTROL, CONTENT_ENCODING},
};
use http_body::Body;
use tower_idempotency_core::{ClaimRequest, StoredResponse};

use crate::{Outcome, ResponseBody, settings::Settings, shared::Shared};

/// Answers from memory, if the record is there, was claimed with an equal request, and counts.
pub(super) fn cached<St, B: Body>(
    shared: &Shared<St>,
    claim: &ClaimRequest,
) -> Option<Response<ResponseBody<B>>> {
    let found = shared.cache.as_ref()?.find(&claim.id)?;
    let stored = found.replay(&shared.settings, claim.fingerprint)?;
    let headers = found.headers(|| marked_headers(&shared.settings, stored));
    let mut response = respond(stored, headers.clone());
    shared.report(Outcome::Replayed { cached: true }, &mut response);
    Some(response)
}

/// Makes a response of what was kept.
///
/// The length is the server's to compute, and the date its to set.
pub(super) fn replay<St, B: Body>(
    shared: &Shared<St>,
    stored: &StoredResponse,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    let mut response = respond(stored, marked_headers(&shared.settings, stored));
    shared.report(outcome, &mut response);
    response
}

/// Makes the response itself, without saying that it is a replay.
pub(super) fn unmarked<St, B: Body>(
    shared: &Shared<St>,
    stored: &StoredResponse,
) -> Response<ResponseBody<B>> {
    respond(stored, headers(&shared.settings, stored))
}

fn respond<B: Body>(stored: &StoredResponse, headers: HeaderMap) -> Response<ResponseBody<B>> {
    let data = stored.body().cloned().unwrap_or_default();
    let mut response = Response::new(ResponseBody::whole(data, None));
    *response.status_mut() = stored.status();
    *response.headers_mut() = headers;
    response
}

fn marked_headers(settings: &Settings, stored: &StoredResponse) -> HeaderMap {
    let mut headers = headers(settings, stored);
    let marks = &settings.response_headers;
    marks.mark_replay(&mut headers, stored.is_tombstone());
    headers
}

fn headers(settings: &Settings, stored: &StoredResponse) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(stored.headers().len() + 2);
    for (name, value) in stored.headers() {
        if settings.replayed_headers.keeps(name) {
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

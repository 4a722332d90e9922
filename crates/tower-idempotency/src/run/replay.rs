//! Answering with a kept response.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_ENCODING},
};
use http_body::Body;
use tower_idempotency_core::{ClaimRequest, StoredResponse};

use crate::{Outcome, ProblemCode, ResponseBody, settings::Settings, shared::Shared};

/// Answers from memory, if the record is there, was claimed with an equal request, and counts.
pub(super) fn cached<St, B: Body>(
    shared: &Shared<St>,
    claim: &ClaimRequest,
) -> Option<Response<ResponseBody<B>>> {
    let found = shared.cache.as_ref()?.find(&claim.id)?;
    let stored = found.replay(&shared.settings, claim.fingerprint)?;
    let headers = found.headers(|| marked_headers(&shared.settings, stored));
    Some(answer(
        shared,
        stored,
        headers.clone(),
        Outcome::Replayed { cached: true },
    ))
}

/// Makes a response of what was kept.
///
/// The length is the server's to compute, and the date its to set.
pub(super) fn replay<St, B: Body>(
    shared: &Shared<St>,
    stored: &StoredResponse,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    let headers = marked_headers(&shared.settings, stored);
    answer(shared, stored, headers, outcome)
}

/// Makes the response itself, without saying that it is a replay.
pub(super) fn unmarked<St, B: Body>(
    shared: &Shared<St>,
    stored: &StoredResponse,
) -> Response<ResponseBody<B>> {
    let data = stored.body().cloned().unwrap_or_default();
    respond(stored.status(), headers(&shared.settings, stored), data)
}

/// Replays, in the way that issued keys are replayed if this is one.
fn answer<St, B: Body>(
    shared: &Shared<St>,
    stored: &StoredResponse,
    mut headers: HeaderMap,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    let mut status = stored.status();
    let mut data = stored.body().cloned().unwrap_or_default();
    if let Some(issued) = &shared.settings.issued {
        if stored.is_tombstone() {
            return shared.refuse(&shared.problem(ProblemCode::IdempotencyKeyUsed));
        }
        issued.mark(&mut status, &mut headers, &mut data);
    }
    let mut response = respond(status, headers, data);
    shared.report(outcome, &mut response);
    response
}

fn respond<B: Body>(
    status: StatusCode,
    headers: HeaderMap,
    data: Bytes,
) -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::whole(data, None));
    *response.status_mut() = status;
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
    // With room for two marks and the server's length: a map that grows is built anew.
    let mut headers = HeaderMap::with_capacity(stored.headers().len() + 3);
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

//! The axum extractor.

use axum::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, request::Parts};

use crate::{Idempotency, Problem, ProblemCode, ProblemRenderer};

/// Refuses a request for which no key was claimed.
///
/// It was sent without a key, or the layer does not cover the route.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MissingIdempotency;

impl IntoResponse for MissingIdempotency {
    fn into_response(self) -> Response {
        let docs_url = HeaderValue::from_static(crate::settings::DOCS_URL);
        let problem = Problem {
            detail: "The handler needs an idempotency key, and none was claimed for this request: \
                     send one, and see that the layer covers this route."
                .to_owned(),
            ..Problem::new(ProblemCode::IdempotencyKeyMissing, docs_url)
        };
        ProblemRenderer::default().render(&problem).map(Body::from)
    }
}

impl<S: Sync> FromRequestParts<S> for Idempotency {
    type Rejection = MissingIdempotency;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingIdempotency> {
        parts.extensions.get().cloned().ok_or(MissingIdempotency)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Idempotency {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<Self>, std::convert::Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

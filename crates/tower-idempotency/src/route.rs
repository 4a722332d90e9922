//! What a request is aimed at.
//!
//! axum strips the prefix of a nested router from the URI and keeps the original in an extension;
//! both the template and the target used here are the whole, original ones,
//! so `/v1/pay/7` and `/v2/pay/7` stay apart wherever the layer sits.

use http::{Uri, request::Parts};

/// Returns the method and the route template, `POST /payments/{id}`; without axum, the path.
pub(crate) fn name(parts: &Parts) -> String {
    let place = template(parts).unwrap_or_else(|| target(parts).path());
    [parts.method.as_str(), " ", place].concat()
}

/// Returns the original path and query.
#[cfg(feature = "axum")]
pub(crate) fn target(parts: &Parts) -> &Uri {
    parts
        .extensions
        .get::<axum::extract::OriginalUri>()
        .map_or(&parts.uri, |original| &original.0)
}

/// Returns the matched route template.
#[cfg(feature = "axum")]
pub(crate) fn template(parts: &Parts) -> Option<&str> {
    parts
        .extensions
        .get::<axum::extract::MatchedPath>()
        .map(axum::extract::MatchedPath::as_str)
}

/// Tells whether an axum router is about to answer 404 for its own reasons.
///
/// `Router::layer` also runs for paths that no route matches;
/// every request that came through a router has the original URI.
#[cfg(feature = "axum")]
pub(crate) fn is_unmatched(parts: &Parts) -> bool {
    parts
        .extensions
        .get::<axum::extract::OriginalUri>()
        .is_some()
        && template(parts).is_none()
}

/// Returns the path and query.
#[cfg(not(feature = "axum"))]
pub(crate) fn target(parts: &Parts) -> &Uri {
    &parts.uri
}

/// Returns nothing: templates are axum's.
#[cfg(not(feature = "axum"))]
pub(crate) fn template(_: &Parts) -> Option<&str> {
    None
}

/// Returns false: only axum tells.
#[cfg(not(feature = "axum"))]
pub(crate) fn is_unmatched(_: &Parts) -> bool {
    false
}

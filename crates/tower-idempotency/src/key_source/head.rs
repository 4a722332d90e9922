//! Keys in the head of a request.

use http::{HeaderMap, HeaderName, request::Parts};
use percent_encoding::percent_decode_str;
use tower_idempotency_core::{IdempotencyKey, KeyError, KeySyntax, parse_header};

use crate::route;

/// Reads the key from its header.
///
/// The lines are counted before anything is parsed: a joined value could look like one string.
pub(super) fn header(
    name: &HeaderName,
    headers: &HeaderMap,
    syntax: KeySyntax,
) -> Option<Result<IdempotencyKey, KeyError>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    if lines.next().is_some() {
        return Some(Err(KeyError::repeated()));
    }
    Some(parse_header(first.as_bytes(), syntax))
}

/// Reads the key from the segment of the path that the route's template names.
pub(super) fn path_parameter(
    name: &str,
    parts: &Parts,
) -> Option<Result<IdempotencyKey, KeyError>> {
    let template = route::template(parts)?;
    let path = route::target(parts).path();
    let segment = template
        .split('/')
        .zip(path.split('/'))
        .find(|(part, _)| is_parameter(part, name))?
        .1;
    let decoded = percent_decode_str(segment).decode_utf8();
    Some(match decoded {
        Ok(text) => IdempotencyKey::new(text),
        Err(_) => Err(KeyError::not_text()),
    })
}

fn is_parameter(part: &str, name: &str) -> bool {
    part.strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'))
        .is_some_and(|part| part == name)
}

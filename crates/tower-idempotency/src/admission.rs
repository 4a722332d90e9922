//! What becomes of a request, as far as its head tells.

use http::{
    Method, Request,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, UPGRADE},
    request::Parts,
};
use tower_idempotency_core::{IdempotencyKey, KeyError};

use crate::{
    Idempotency, Problem, ProblemCode, key_source::Looked, layer::Requirement, route,
    shared::Shared,
};

/// What to do with a request.
pub(crate) enum Admission {
    /// It is none of the layer's business.
    Pass,
    /// It cannot be served.
    Refuse(Problem),
    /// It has this key.
    Keyed(IdempotencyKey),
    /// Its key can only be in its body.
    ReadBody,
}

/// Tells whether a request certainly is none of the layer's business, as most are.
///
/// It has to be cheap, and right when it says yes: everything else goes through [`admit`].
pub(crate) fn passes_by<St, B>(
    shared: &Shared<St>,
    requirement: Requirement,
    request: &Request<B>,
) -> bool {
    let settings = &shared.settings;
    let has_no_key = || {
        let mut sources = settings.key_sources.iter();
        sources.all(|source| source.is_absent_from(request.headers()))
    };
    !settings.methods.contains(request.method())
        || !is_required(shared, requirement) && has_no_key()
}

/// Looks at the head of a request, without a copy and without the store.
pub(crate) fn admit<St>(shared: &Shared<St>, requirement: Requirement, parts: &Parts) -> Admission {
    if !is_covered(shared, parts) {
        return Admission::Pass;
    }
    let settings = &shared.settings;
    for source in &settings.key_sources {
        match source.look_at_head(parts, settings.key_syntax) {
            Looked::Found(Ok(key)) => return admit_key(shared, key, parts),
            Looked::Found(Err(error)) => return Admission::Refuse(invalid(shared, &error)),
            Looked::NeedsBody => return admit_size(shared, parts, Admission::ReadBody),
            Looked::Nothing => {}
        }
    }
    if is_required(shared, requirement) {
        Admission::Refuse(missing(shared))
    } else {
        Admission::Pass
    }
}

/// Tells whether a request without a key is refused: also where only issued keys are served.
pub(crate) fn is_required<St>(shared: &Shared<St>, requirement: Requirement) -> bool {
    requirement == Requirement::Required || shared.settings.issued.is_some()
}

/// Describes the refusal of a key.
pub(crate) fn invalid<St>(shared: &Shared<St>, error: &KeyError) -> Problem {
    Problem {
        detail: format!("{error}."),
        ..shared.problem(ProblemCode::IdempotencyKeyInvalid)
    }
}

/// Describes the refusal of a request without a key.
pub(crate) fn missing<St>(shared: &Shared<St>) -> Problem {
    shared.problem(ProblemCode::IdempotencyKeyMissing)
}

/// Describes the refusal of a body over the cap.
pub(crate) fn too_large<St>(shared: &Shared<St>) -> Problem {
    let cap = shared.settings.max_request_bytes;
    Problem {
        detail: format!("Requests with an idempotency key may have at most {cap} bytes."),
        ..shared.problem(ProblemCode::RequestTooLarge)
    }
}

fn is_covered<St>(shared: &Shared<St>, parts: &Parts) -> bool {
    let settings = &shared.settings;
    settings.methods.contains(&parts.method)
        // A header must not be a way around the issuer.
        && (settings.issued.is_some() || !is_tunnel(parts))
        && !route::is_unmatched(parts)
        && !is_claimed(shared, parts)
        && !settings.skip.as_ref().is_some_and(|skip| (skip.0)(parts))
}

/// Tells whether an outer layer of ours has the key already; claiming it again would answer 409.
///
/// A key of the client's own does not open what needs an issued one.
fn is_claimed<St>(shared: &Shared<St>, parts: &Parts) -> bool {
    let Some(handle) = parts.extensions.get::<Idempotency>() else {
        return false;
    };
    let wanted = shared.settings.issued.as_ref();
    wanted.is_none_or(|issued| handle.purpose() == Some(issued.purpose()))
}

fn admit_key<St>(shared: &Shared<St>, key: IdempotencyKey, parts: &Parts) -> Admission {
    match shared.settings.key_format.check(&key) {
        Ok(()) => admit_size(shared, parts, Admission::Keyed(key)),
        Err(error) => Admission::Refuse(invalid(shared, &error)),
    }
}

/// Refuses a body that says of itself that it is too large, before a byte of it is read.
fn admit_size<St>(shared: &Shared<St>, parts: &Parts, admission: Admission) -> Admission {
    let announced = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > shared.settings.max_request_bytes as u64) {
        return Admission::Refuse(too_large(shared));
    }
    admission
}

/// Tells whether the request opens a stream of another protocol, which cannot be replayed.
fn is_tunnel(parts: &Parts) -> bool {
    parts.method == Method::CONNECT || is_grpc(parts) || is_upgrade(parts)
}

fn is_grpc(parts: &Parts) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    parts.headers.get(CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes()
            .get(..GRPC.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
    })
}

/// Tells whether the client asks for another protocol on this connection.
///
/// `h2c` does not count: clients offer it with ordinary requests, and servers ignore the offer.
fn is_upgrade(parts: &Parts) -> bool {
    let Some(protocol) = parts.headers.get(UPGRADE) else {
        return false;
    };
    let offers_only_h2c = protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
    let is_asked_for = parts
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
    is_asked_for && !offers_only_h2c
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn tunnel(headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method("POST");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_tunnel(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn an_upgrade_and_grpc_pass_by() {
        assert!(tunnel(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket")
        ]));
        assert!(tunnel(&[("content-type", "application/grpc+proto")]));
    }

    /// `curl --http2` offers h2c with every request in the clear: a payment sent so must be
    /// protected like any other.
    #[test]
    fn an_offer_of_h2c_is_an_ordinary_request() {
        assert!(!tunnel(&[
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c")
        ]));
    }

    #[test]
    fn an_upgrade_header_alone_is_an_ordinary_request() {
        assert!(!tunnel(&[("upgrade", "websocket")]));
        assert!(!tunnel(&[("content-type", "application/json")]));
    }
}

use std::{fmt, sync::Arc};

use http::{StatusCode, response};

/// Which responses of the handler are kept and replayed.
///
/// A response that is not kept gives the key up, and the next request with it runs the handler
/// again. 5xx answers and panics are recorded as failed; other responses that are not kept leave
/// no trace.
///
/// | | 2xx, 3xx | 401, 405, 407, 408, 423, 425, 429 | other 4xx | 5xx, panic |
/// |---|---|---|---|---|
/// | `default()` | kept | not kept | kept | not kept |
/// | `success_only()` | kept | not kept | not kept | not kept |
/// | `everything()` | kept | kept | kept | kept |
///
/// The seven statuses that the default leaves out say that the request was not worked on:
/// the caller was not let in, too early, too often or too late.
#[derive(Clone, Default)]
pub struct Stored(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    Final,
    SuccessOnly,
    Everything,
    Function(Arc<dyn Fn(&response::Parts) -> bool + Send + Sync>),
}

/// The 4xx answers that say nothing about the result of the request.
const NOT_FINAL: [StatusCode; 7] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::PROXY_AUTHENTICATION_REQUIRED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::LOCKED,
    StatusCode::TOO_EARLY,
    StatusCode::TOO_MANY_REQUESTS,
];

impl Stored {
    /// Keeps 2xx and 3xx only, so that a corrected request may come again with the same key.
    ///
    /// Choose it where a refused request has no effect at all.
    #[must_use]
    pub const fn success_only() -> Self {
        Self(Kind::SuccessOnly)
    }

    /// Keeps whatever the handler answers, 5xx and panics included, as Stripe's v1 API does.
    ///
    /// Choose it, with [`CrashPolicy::Hold`](tower_idempotency_core::CrashPolicy::Hold),
    /// where a second execution is worse than a failure that stays.
    #[must_use]
    pub const fn everything() -> Self {
        Self(Kind::Everything)
    }

    /// Lets a function of the response's head decide; `true` keeps the response.
    pub fn from_fn(keep: impl Fn(&response::Parts) -> bool + Send + Sync + 'static) -> Self {
        Self(Kind::Function(Arc::new(keep)))
    }

    pub(crate) fn keeps(&self, response: &response::Parts) -> bool {
        let status = response.status;
        match &self.0 {
            _ if status.is_informational() => false,
            Kind::Final => {
                status.is_success()
                    || status.is_redirection()
                    || status.is_client_error() && !NOT_FINAL.contains(&status)
            }
            Kind::SuccessOnly => status.is_success() || status.is_redirection(),
            Kind::Everything => true,
            Kind::Function(keep) => keep(response),
        }
    }

    /// Tells whether a panic's 500 is kept too.
    pub(crate) const fn keeps_panics(&self) -> bool {
        matches!(self.0, Kind::Everything)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Final => "Stored::default()",
            Kind::SuccessOnly => "Stored::success_only()",
            Kind::Everything => "Stored::everything()",
            Kind::Function(_) => "Stored(<fn>)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(stored: &Stored, status: u16) -> bool {
        let (parts, ()) = http::Response::builder()
            .status(status)
            .body(())
            .unwrap()
            .into_parts();
        stored.keeps(&parts)
    }

    #[test]
    fn the_default_keeps_results_and_leaves_refusals_out() {
        for status in [200, 204, 299, 303, 304, 400, 404, 409, 410, 422] {
            assert!(keeps(&Stored::default(), status), "{status}");
        }
        for status in [401, 405, 407, 408, 423, 425, 429, 500, 503, 599] {
            assert!(!keeps(&Stored::default(), status), "{status}");
        }
    }

    #[test]
    fn success_only_leaves_every_error_out() {
        assert!(keeps(&Stored::success_only(), 303));
        assert!(!keeps(&Stored::success_only(), 400));
    }

    #[test]
    fn everything_keeps_even_a_500_but_no_interim_response() {
        assert!(keeps(&Stored::everything(), 500));
        assert!(!keeps(&Stored::everything(), 101));
    }
}

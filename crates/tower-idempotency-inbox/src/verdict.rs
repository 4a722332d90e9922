use std::{fmt, sync::Arc};

use http::{StatusCode, response::Parts};
use tower_idempotency_core::Failure;

/// What a handler's answer means for its delivery.
///
/// The default, [`of_status`](Self::of_status), looks at the status only.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Verdict {
    /// It is done and never runs again.
    Success,
    /// It failed: transiently, so that another attempt may help, or permanently.
    Failed(Failure),
}

impl Verdict {
    /// Another attempt may help.
    #[must_use]
    pub fn transient(error: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Failed(Failure::transient(error))
    }

    /// Another attempt would fail in the same way.
    #[must_use]
    pub fn permanent(error: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Failed(Failure::permanent(error))
    }

    /// Judges by the status: 2xx is success; 408, 409, 423, 425, 429 and 5xx are transient;
    /// everything else is permanent.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        const PASSING: [StatusCode; 5] = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::LOCKED,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        let error = format!("status {}", status.as_u16());
        if status.is_success() {
            Self::Success
        } else if status.is_server_error() || PASSING.contains(&status) {
            Self::transient(error)
        } else {
            Self::permanent(error)
        }
    }
}

/// The user's function that judges answers.
#[derive(Clone)]
pub(crate) struct Classify(pub(crate) Arc<dyn Fn(&Parts) -> Verdict + Send + Sync>);

impl Default for Classify {
    fn default() -> Self {
        Self(Arc::new(|parts| Verdict::of_status(parts.status)))
    }
}

impl fmt::Debug for Classify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<fn>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_tells_passing_failures_from_lasting_ones() {
        let judge = |status| Verdict::of_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(judge(204), Verdict::Success);
        for status in [408, 409, 423, 425, 429, 500, 503] {
            assert_eq!(
                judge(status),
                Verdict::transient(format!("status {status}"))
            );
        }
        for status in [302, 400, 401, 404, 410, 413, 422] {
            assert_eq!(
                judge(status),
                Verdict::permanent(format!("status {status}"))
            );
        }
    }
}

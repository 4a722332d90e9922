//! What follows from an answer.

use std::time::Duration;

use http::{StatusCode, header::RETRY_AFTER};
use reqwest::Response;

use crate::{Outcome, answer_ext::is_kept, retry_after::retry_after};

const IN_PROGRESS: &str = "REQUEST_IN_PROGRESS";

/// Answers behind which something may have been done, by an earlier request.
const UNDECIDED: [&str; 3] = [
    "ATTEMPTS_EXHAUSTED",
    "IDEMPOTENCY_KEY_REUSED",
    "OUTCOME_UNKNOWN",
];

/// What is noted on a response.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) code: Option<String>,
    pub(crate) outcome: Outcome,
    pub(crate) tries: u32,
}

/// An answer, and the code of the problem in it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) code: Option<String>,
}

impl Answer {
    /// Tells whether another try can bring another answer.
    ///
    /// Besides 5xx and 429:
    ///
    /// - 409 if the first request is in progress. An application has conflicts of its own; a server
    ///   that sends no codes tells one by `Retry-After`.
    /// - 408: the server did not get the whole request, and RFC 9110 (section 15.5.9) lets a client
    ///   repeat it. Proxies send it on connections that were idle.
    ///
    /// Not 425 (RFC 8470): it refuses what came as early data of TLS, which this client never
    /// sends, so a repetition would be refused as well.
    pub(crate) fn is_worth_retrying(&self) -> bool {
        let status = self.response.status();
        if self.is_kept() {
            return false;
        }
        if status != StatusCode::CONFLICT {
            return is_retried(status);
        }
        match &self.code {
            Some(code) => code == IN_PROGRESS,
            None => self.response.headers().contains_key(RETRY_AFTER),
        }
    }

    /// Tells whether it is certain that the request was not carried out.
    pub(crate) fn is_refusal(&self) -> bool {
        self.response.status() == StatusCode::TOO_MANY_REQUESTS
    }

    /// Tells whether this is the answer to the operation, whichever request carried it out.
    pub(crate) fn is_final(&self) -> bool {
        is_yes(self.response.status()) || self.is_kept()
    }

    /// Tells whether it says that an earlier request may have been carried out.
    pub(crate) fn is_undecided(&self) -> bool {
        let code = self.code.as_deref();
        code.is_some_and(|code| UNDECIDED.contains(&code))
    }

    pub(crate) fn retry_after(&self) -> Duration {
        retry_after(self.response.headers()).unwrap_or_default()
    }

    /// Hands the response out, with what became of it noted on it.
    pub(crate) fn with(self, outcome: Outcome, tries: u32) -> Response {
        let Self { mut response, code } = self;
        response.extensions_mut().insert(Verdict {
            code,
            outcome,
            tries,
        });
        response
    }

    fn is_kept(&self) -> bool {
        is_kept(self.response.headers())
    }
}

/// Tells whether the answer is a yes. A redirect that is not followed is one, too.
pub(crate) fn is_yes(status: StatusCode) -> bool {
    status.as_u16() < 400
}

/// Tells whether this status is tried again, whatever the answer says besides.
pub(crate) fn is_retried(status: StatusCode) -> bool {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || passing.contains(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: Option<&str>, header: Option<(&str, &str)>) -> Answer {
        let mut response = http::Response::builder().status(status);
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        Answer {
            response: response.body("").unwrap().into(),
            code: code.map(str::to_owned),
        }
    }

    #[test]
    fn what_passes_is_worth_retrying() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(answer(status, None, None).is_worth_retrying(), "{status}");
        }
        for status in [200, 303, 400, 401, 404, 409, 422, 425] {
            assert!(!answer(status, None, None).is_worth_retrying(), "{status}");
        }
    }

    #[test]
    fn only_a_conflict_with_the_first_request_is_worth_retrying() {
        let wait = Some(("retry-after", "1"));
        assert!(answer(409, Some(IN_PROGRESS), None).is_worth_retrying());
        assert!(answer(409, None, wait).is_worth_retrying());
        assert!(!answer(409, Some("SOLD_OUT"), wait).is_worth_retrying());
        assert!(!answer(409, Some("OUTCOME_UNKNOWN"), wait).is_worth_retrying());
    }

    #[test]
    fn what_is_kept_is_not_worth_retrying() {
        for mark in ["x-idempotency-stored", "x-idempotency-replay"] {
            let kept = answer(500, None, Some((mark, "true")));
            assert!(!kept.is_worth_retrying());
            assert!(kept.is_final());
        }
    }
}

//! What an answer says of its operation.

use http::HeaderMap;
use reqwest::Response;

use crate::{
    Outcome,
    verdict::{Verdict, is_yes},
};

/// The names that servers have for it; the first one is the default of `tower-idempotency`.
const REPLAY: [&str; 3] = [
    "x-idempotency-replay",
    "idempotency-replayed",
    "idempotent-replayed",
];
const STORED: &str = "x-idempotency-stored";

/// Whether an answer is the one that an earlier request got.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Replay {
    /// It is not: this request was carried out, or refused.
    No,
    /// It is, byte for byte.
    Whole,
    /// It is, and the server did not keep the body.
    Omitted,
}

/// What an answer says of its operation.
///
/// Implemented for [`reqwest::Response`].
pub trait AnswerExt {
    /// Tells whether this is the answer that an earlier request got.
    ///
    /// Reads `X-Idempotency-Replay`, and the names that other servers use:
    /// `Idempotency-Replayed`, `Idempotent-Replayed`.
    fn replay(&self) -> Replay;

    /// Tells whether the operation was carried out by an earlier request.
    fn is_replay(&self) -> bool {
        self.replay() != Replay::No
    }

    /// Tells whether the server keeps this answer, so that every retry would get the same one.
    fn is_kept(&self) -> bool;

    /// Returns what became of the operation. Never [`Outcome::NotSent`].
    ///
    /// For a response to a request without an [`Operation`](crate::Operation) it is told from the
    /// status alone.
    fn outcome(&self) -> Outcome;

    /// Returns how many tries it took.
    fn tries(&self) -> u32;

    /// Returns the code of the problem document, if the answer is one: `REQUEST_IN_PROGRESS`,
    /// `IDEMPOTENCY_KEY_REUSED`, or the application's own.
    ///
    /// Nothing for requests without an [`Operation`](crate::Operation).
    fn problem_code(&self) -> Option<&str>;
}

impl AnswerExt for Response {
    fn replay(&self) -> Replay {
        replay(self.headers())
    }

    fn is_kept(&self) -> bool {
        is_kept(self.headers())
    }

    fn outcome(&self) -> Outcome {
        let is_decided = || {
            is_yes(self.status()) || self.is_kept() || !crate::verdict::is_retried(self.status())
        };
        match self.extensions().get::<Verdict>() {
            Some(verdict) => verdict.outcome,
            None if is_decided() => Outcome::Done,
            None => Outcome::Unknown,
        }
    }

    fn tries(&self) -> u32 {
        let verdict = self.extensions().get::<Verdict>();
        verdict.map_or(1, |verdict| verdict.tries)
    }

    fn problem_code(&self) -> Option<&str> {
        self.extensions().get::<Verdict>()?.code.as_deref()
    }
}

fn replay(headers: &HeaderMap) -> Replay {
    let values = REPLAY.iter().filter_map(|name| headers.get(*name));
    let mut known = values.filter_map(|value| match value.as_bytes() {
        b"true" => Some(Replay::Whole),
        b"omitted" => Some(Replay::Omitted),
        _ => None,
    });
    known.next().unwrap_or(Replay::No)
}

pub(crate) fn is_kept(headers: &HeaderMap) -> bool {
    let is_stored = headers.get(STORED).is_some_and(|value| value == "true");
    is_stored || replay(headers) != Replay::No
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(name: &'static str, value: &'static str) -> Response {
        let response = http::Response::builder().header(name, value).body("");
        Response::from(response.unwrap())
    }

    #[test]
    fn a_replay_is_told_from_a_first_answer() {
        for name in REPLAY {
            assert_eq!(response(name, "true").replay(), Replay::Whole);
            assert_eq!(response(name, "omitted").replay(), Replay::Omitted);
            assert!(!response(name, "false").is_replay());
        }
        assert!(!response(STORED, "true").is_replay());
    }

    #[test]
    fn stored_and_replayed_answers_are_kept() {
        assert!(response(STORED, "true").is_kept());
        assert!(response(REPLAY[0], "omitted").is_kept());
        assert!(!response(STORED, "false").is_kept());
    }
}

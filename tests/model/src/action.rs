//! What can happen next.

use crate::state::{Phase, Release, Statement};

/// One thing that happens.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// A worker sends a statement.
    Call {
        /// The worker's place.
        worker: usize,
        /// What it sends.
        statement: Statement,
        /// What becomes of it.
        fate: Fate,
    },
    /// The handler runs to its end.
    Run {
        /// The worker's place.
        worker: usize,
        /// What the policy says about its response.
        verdict: Verdict,
    },
    /// A worker dies; another takes its place.
    Crash {
        /// The worker's place.
        worker: usize,
    },
    /// The store carries out a statement that nobody waits for any more.
    Late {
        /// Its place.
        place: usize,
    },
    /// The present lease ends by the store's clock.
    LeaseEnds {
        /// On which key.
        key: usize,
    },
    /// The record expires by the store's clock.
    Expires {
        /// Of which key.
        key: usize,
    },
    /// The sweeper deletes an expired record.
    Sweep {
        /// Of which key.
        key: usize,
    },
    /// The server ends the transaction that holds a key.
    Abort {
        /// Which key.
        key: usize,
    },
}

/// What becomes of a statement that was sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is carried out, and the answer arrives.
    Answered,
    /// It is carried out, and the answer is lost.
    Lost,
    /// The worker gives up waiting; the store may carry it out later, or never.
    Late,
}

/// What the policy says about a response.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is to be kept.
    Keep,
    /// The key is to be released, the record stays as failed.
    Fail,
    /// The key is to be released without a trace.
    Free,
}

impl Verdict {
    pub(crate) fn phase(self) -> Phase {
        match self {
            Self::Keep => Phase::Completing,
            Self::Fail => Phase::Releasing(Release::Failed),
            Self::Free => Phase::Releasing(Release::Free),
        }
    }
}

//! What a server writes down.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Moment;

/// One line of a server's journal.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "a line has nothing else")]
pub struct Event {
    /// When it was seen.
    pub at: Moment,
    /// What was seen.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What a server saw.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "the reader handles every case")]
#[serde(rename_all = "snake_case", tag = "seen")]
pub enum Seen {
    /// A verb of the store is about to be called.
    CallBegins {
        /// Numbers the calls of one process.
        call: u64,
        /// The verb.
        verb: Verb,
        /// The client's key.
        key: String,
        /// Names the execution.
        token: String,
    },
    /// A verb has answered.
    CallEnds {
        /// The call.
        call: u64,
        /// The answer.
        result: CallResult,
    },
    /// A handler has been called.
    RunBegins {
        /// Numbers the runs of one process.
        run: u64,
        /// The client's key.
        key: String,
        /// Names the execution to the store.
        token: String,
        /// Counts the executions of the key.
        attempt: u32,
        /// Names the run to the client.
        execution: String,
    },
    /// The effect is about to be written.
    EffectBegins {
        /// The run.
        run: u64,
    },
    /// The effect was written, or not as far as the handler knows.
    EffectEnds {
        /// The run.
        run: u64,
        /// Whether the database confirmed it.
        confirmed: bool,
    },
    /// A handler has ended.
    RunEnds {
        /// The run.
        run: u64,
        /// How.
        end: RunEnd,
    },
    /// The process did not get to run for a while, whatever the reason.
    Stalled {
        /// When it should have gone on.
        from: Moment,
    },
}

/// The verbs that belong to a key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "the contract has no other")]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// `Store::claim`.
    Claim,
    /// `Execution::renew`.
    Renew,
    /// `Execution::complete`, or a completion inside the handler's transaction and its commit.
    Complete,
    /// `Execution::release`.
    Release,
}

/// What a verb answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "the reader handles every case")]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum CallResult {
    /// The key is the caller's.
    Acquired {
        /// Counts the executions of the key.
        attempt: u32,
        /// Whether the one before stopped midway.
        takeover: bool,
    },
    /// Somebody else's lease is live.
    InProgress,
    /// A response is kept.
    Completed,
    /// The key was used with another request.
    Mismatch,
    /// The lease ran out and nobody may take it.
    OutcomeUnknown,
    /// The key has had all its attempts.
    Exhausted,
    /// The lease lasts again.
    Renewed,
    /// The key is somebody else's.
    Lost,
    /// The record is as asked.
    Applied,
    /// The key is somebody else's.
    Stale,
    /// The store failed.
    Failed {
        /// How, as the store's error kind says.
        kind: String,
    },
}

/// How a handler ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "the reader handles every case")]
#[serde(rename_all = "snake_case", tag = "end")]
pub enum RunEnd {
    /// With a response.
    Answered {
        /// Its status.
        status: u16,
    },
    /// With a panic.
    Panicked,
    /// Somebody dropped the handler's future.
    Dropped,
}

impl RunEnd {
    /// Tells whether the policy keeps the response.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::Answered { status } if *status < 500)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claim => "claim",
            Self::Renew => "renew",
            Self::Complete => "complete",
            Self::Release => "release",
        })
    }
}

//! What a request asks its handler to do.

use serde::{Deserialize, Serialize};

/// The body of a request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a client must decide about every part"
)]
pub struct Instructions {
    /// Names the operation.
    pub operation: String,
    /// How long the handler works before its effect, in milliseconds.
    pub before_ms: u64,
    /// How long it works behind its effect, in milliseconds.
    pub after_ms: u64,
    /// How many attempts fail before one succeeds.
    pub failures: u32,
    /// How they fail.
    pub failure: FailureKind,
    /// Whether the handler refuses with an answer that is kept, without an effect.
    pub refuses: bool,
    /// Found in a log, it shows that a body leaked.
    pub canary: String,
}

/// How an attempt fails.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Answers 500 before the effect.
    Status,
    /// Answers 500 behind the effect.
    StatusBehindEffect,
    /// Panics before the effect.
    Panic,
}

impl Instructions {
    /// Tells whether `attempt` is to fail.
    #[must_use]
    pub const fn fails(&self, attempt: u32) -> bool {
        attempt <= self.failures
    }
}

//! What a store holds for a key.

use std::{borrow::Cow, time::SystemTime};

use http::StatusCode;

use crate::{Fingerprint, IdempotencyKey, RecordId, Scope, StoredResponse};

/// A record with the response that it keeps.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// Everything but the response.
    pub info: RecordInfo,
    /// The kept response of a completed record.
    pub response: Option<StoredResponse>,
}

impl Record {
    /// Puts a record together.
    #[must_use]
    pub const fn new(info: RecordInfo, response: Option<StoredResponse>) -> Self {
        Self { info, response }
    }
}

/// A record without its response: what operators look at.
///
/// All times are the store's.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores build it field by field and must fill every one"
)]
pub struct RecordInfo {
    /// The identity.
    pub id: RecordId,
    /// Whom the key belongs to.
    pub scope: Scope,
    /// The client's key. Never log it.
    pub key: IdempotencyKey,
    /// The digest of the request that was executed.
    pub fingerprint: Fingerprint,
    /// Where the record is in its life.
    pub state: RecordState,
    /// The number of executions so far.
    pub attempt: u32,
    /// When the key was first claimed.
    pub created_at: SystemTime,
    /// When the lease ends or ended; `None` once the execution has ended.
    pub lease_expires_at: Option<SystemTime>,
    /// When the execution ended.
    pub ended_at: Option<SystemTime>,
    /// When the record counts as absent; `None` if it does not expire.
    pub expires_at: Option<SystemTime>,
    /// The status of the kept response.
    pub status: Option<StatusCode>,
    /// Why the last execution failed.
    pub failure: Option<Failure>,
}

/// The states of a record.
///
/// `InProgress` becomes `Completed` or `Failed`; a `Failed` record can be claimed again.
/// A record that has expired is absent, whatever its state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a fourth state would change the protocol"
)]
pub enum RecordState {
    /// Somebody holds, or held, a lease.
    InProgress,
    /// A response or a tombstone is kept.
    Completed,
    /// The execution failed and the key can be claimed again.
    Failed,
}

impl RecordState {
    /// Returns the word that stores and tools use for the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Finds the state that stores and tools use `word` for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::InProgress, Self::Completed, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// Why an execution failed, kept for inspection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// Whether trying again can help.
    pub category: FailureCategory,
    /// What happened, in a few words. Never a body, a key or a panic's message.
    pub error: Cow<'static, str>,
}

impl Failure {
    /// A failure that may go away by itself: a panic, a 503.
    #[must_use]
    pub fn transient(error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            category: FailureCategory::Transient,
            error: error.into(),
        }
    }

    /// A failure that will come again with the same request.
    #[must_use]
    pub fn permanent(error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            category: FailureCategory::Permanent,
            error: error.into(),
        }
    }
}

/// Whether a failed execution is worth another try.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum FailureCategory {
    /// It may succeed later.
    Transient,
    /// It will fail again.
    Permanent,
}

impl FailureCategory {
    /// Returns the word that stores and tools use for the category.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}

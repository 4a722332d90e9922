//! The one atomic first step, and what it came to.

use std::{num::NonZeroU32, time::Duration};

use crate::{
    CrashPolicy, Failure, Fingerprint, IdempotencyKey, LeaseToken, RecordId, RecordState,
    Retention, Scope, StoredResponse,
};

/// Everything a store needs to claim a key.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency_core::{ClaimRequest, Fingerprint, IdempotencyKey, Scope};
///
/// let key = IdempotencyKey::new("8e03978e-40d5-43e8-bc93-6894a57f9324")?;
/// let mut request = ClaimRequest::new(Scope::new("alice", "POST /payments"), key, Fingerprint::OFF);
/// request.lease = Duration::from_secs(10);
/// # Ok::<(), tower_idempotency_core::KeyError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// The identity of scope and key.
    pub id: RecordId,
    /// Whom the key belongs to.
    pub scope: Scope,
    /// The client's key.
    pub key: IdempotencyKey,
    /// The digest of the request.
    pub fingerprint: Fingerprint,
    /// The fencing value of the execution that would begin.
    pub token: LeaseToken,
    /// How long the lease lasts. Default: [`ClaimRequest::DEFAULT_LEASE`].
    pub lease: Duration,
    /// What a lease that ran out means. Default: [`CrashPolicy::Retry`].
    pub crash_policy: CrashPolicy,
    /// How many executions a key gets at most. Default: `None`, as many as it takes.
    pub max_attempts: Option<NonZeroU32>,
    /// How long a completed record is kept. Default: [`Retention::COMPLETED`].
    pub retention: Retention,
    /// How long a failed or abandoned record is kept. Default: [`Retention::FAILED`].
    pub failed_retention: Retention,
}

impl ClaimRequest {
    /// Thirty seconds.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

    /// Prepares a claim of `key` in `scope`, with a fresh token and the default policies.
    #[must_use]
    pub fn new(scope: Scope, key: IdempotencyKey, fingerprint: Fingerprint) -> Self {
        Self {
            id: RecordId::new(&scope, &key),
            scope,
            key,
            fingerprint,
            token: LeaseToken::random(),
            lease: Self::DEFAULT_LEASE,
            crash_policy: CrashPolicy::default(),
            max_attempts: None,
            retention: Retention::COMPLETED,
            failed_retention: Retention::FAILED,
        }
    }

    /// Tells whether a key that was executed `attempts` times may be executed once more.
    #[must_use]
    pub fn allows_attempt_after(&self, attempts: u32) -> bool {
        self.max_attempts.is_none_or(|max| attempts < max.get())
    }

    /// Returns how long the record stays when its lease has run out without an end:
    /// the failed retention, or for ever under [`CrashPolicy::Hold`].
    #[must_use]
    pub fn abandoned_retention(&self) -> Retention {
        match self.crash_policy {
            CrashPolicy::Hold => Retention::Forever,
            CrashPolicy::Retry => self.failed_retention,
        }
    }
}

/// What a claim came to.
///
/// The enum is exhaustive on purpose: every caller has to say what each outcome means.
#[derive(Clone, Debug)]
#[must_use = "an acquired execution must be completed or released"]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller that overlooks an outcome breaks the protocol"
)]
pub enum Claim<E> {
    /// The key is the caller's: run the handler, then settle the execution.
    Acquired(E),
    /// Somebody else holds a live lease. Do not execute.
    InProgress {
        /// How long the present lease lasts at most, unless it is renewed.
        remaining: Duration,
    },
    /// A response is kept: replay it. Do not execute.
    Completed(Replay),
    /// The key was used with another request. Do not execute; nothing stored has changed.
    Mismatch,
    /// The lease ran out, and the claim asked for [`CrashPolicy::Hold`] or the key has had all its
    /// attempts. Do not execute.
    OutcomeUnknown,
    /// Every attempt that the claim allows has failed. Do not execute.
    Exhausted,
}

impl<E> Claim<E> {
    /// Turns the execution into another type.
    pub fn map<F>(self, wrap: impl FnOnce(E) -> F) -> Claim<F> {
        match self {
            Self::Acquired(execution) => Claim::Acquired(wrap(execution)),
            Self::InProgress { remaining } => Claim::InProgress { remaining },
            Self::Completed(replay) => Claim::Completed(replay),
            Self::Mismatch => Claim::Mismatch,
            Self::OutcomeUnknown => Claim::OutcomeUnknown,
            Self::Exhausted => Claim::Exhausted,
        }
    }
}

/// A kept response, as a claim finds it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Replay {
    /// The response, or a tombstone.
    pub response: StoredResponse,
    /// How long the record still lives by the store's clock, never zero; `None` for ever.
    ///
    /// Counted from the claim's judgement, which is later than the claim was asked for:
    /// whoever adds it to the time of asking is never too late.
    pub remaining: Option<Duration>,
}

impl Replay {
    /// Replays `response`, whose record lives for `remaining`.
    #[must_use]
    pub const fn new(response: StoredResponse, remaining: Option<Duration>) -> Self {
        Self {
            response,
            remaining,
        }
    }
}

/// What an execution is completed with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Completed {
    /// The response to keep, or a tombstone.
    pub response: StoredResponse,
    /// How long to keep it, counted from now.
    pub retention: Retention,
}

impl Completed {
    /// Keeps `response` for `retention`.
    #[must_use]
    pub const fn new(response: StoredResponse, retention: Retention) -> Self {
        Self {
            response,
            retention,
        }
    }
}

/// How an execution gives its key up.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must handle every case")]
pub enum Release {
    /// The record stays as failed, for inspection, and can be claimed again with any request.
    Failed(Failure),
    /// The record goes, as if the key had never been claimed.
    Free,
}

/// What a renewal came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every case")]
pub enum Renewal {
    /// The lease lasts its whole length again, or cannot be lost at present.
    Renewed,
    /// The key is no longer this execution's. Nothing has changed.
    Lost,
}

/// What completing or releasing came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every case")]
pub enum Settled {
    /// The record is as asked, now or by an earlier try of the same execution.
    Applied,
    /// The key is no longer this execution's. Nothing has changed.
    Stale,
}

/// Where an execution's record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every case")]
pub enum Standing {
    /// In progress, and still this execution's.
    InProgress,
    /// Completed by this execution.
    Completed,
    /// Not this execution's any more: taken over, released, resolved or expired.
    Lost,
}

impl Standing {
    /// Reads the state of the record that still has the execution's token; `None` if none has.
    pub fn of(state: Option<&str>) -> Self {
        match state.and_then(RecordState::from_word) {
            Some(RecordState::InProgress) => Self::InProgress,
            Some(RecordState::Completed) => Self::Completed,
            Some(RecordState::Failed) | None => Self::Lost,
        }
    }
}

/// How an operator resolves a key that nobody is at work on.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a store must handle every case")]
pub enum Resolution {
    /// The operation was carried out: keep this as its response.
    Answer(Completed),
    /// The operation was not carried out: the next request with the key runs the handler.
    Free,
}

/// What resolving a key came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle every case")]
pub enum Resolved {
    /// The key is as asked. Whoever had executed it can change nothing any more.
    Applied,
    /// Somebody is at work on the key. Nothing has changed.
    Running {
        /// How long the present lease lasts at most, unless it is renewed.
        remaining: Duration,
    },
    /// A response is kept already. Nothing has changed.
    Completed,
    /// There is no such record, or it has expired.
    Absent,
}

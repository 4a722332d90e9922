//! What the inbox knows of a delivery.

use std::{fmt, str::FromStr, time::SystemTime};

use tower_idempotency::IdempotencyKey;
use uuid::Uuid;

/// The identity of a kept delivery: random, made when it arrives.
///
/// Handlers find it in the extensions of every request that came through the inbox,
/// the same in every attempt.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

/// Where a delivery stands.
///
/// `Received` and `Failed` become `Succeeded`, `Failed` or `Dead` with each attempt;
/// an operator can make `Failed` of `Dead`. `Succeeded` stays.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "another state would change what operators have to deal with"
)]
pub enum DeliveryState {
    /// Its first attempt has not ended.
    Received,
    /// An attempt failed, or an operator asked for one, and the next one is due or runs.
    Failed,
    /// The handler succeeded.
    Succeeded,
    /// A dead letter: it failed permanently, or too often.
    Dead,
}

impl DeliveryState {
    const ALL: [Self; 4] = [Self::Received, Self::Failed, Self::Succeeded, Self::Dead];

    /// Returns the word that the table and the operator's routes use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
        }
    }

    /// Finds the state that this word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A kept delivery, without what its sender said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// Its identity.
    pub id: DeliveryId,
    /// The trigger that it arrived at.
    pub trigger: String,
    /// Its key, unless the sender named none.
    pub key: Option<IdempotencyKey>,
    /// The method of the request.
    pub method: String,
    /// The path of the request; the query may hold secrets and is not shown.
    pub path: String,
    /// The size of its body.
    pub body_bytes: u64,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often the handler was begun for it.
    pub attempts: u32,
    /// After how many attempts it becomes a dead letter.
    pub attempts_allowed: u32,
    /// When its next attempt is due; while one runs, when somebody else may look after it.
    pub next_attempt_at: Option<SystemTime>,
    /// Whether the last failure was `transient` or `permanent`.
    pub category: Option<String>,
    /// What the last failure was, in a few words.
    pub last_error: Option<String>,
    /// When it arrived.
    pub received_at: SystemTime,
    /// When it succeeded or became a dead letter.
    pub ended_at: Option<SystemTime>,
    /// When an operator last asked for an attempt.
    pub last_replay_at: Option<SystemTime>,
}

/// Which deliveries to list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeliveryPage {
    /// Those in one state only. Default: all.
    pub state: Option<DeliveryState>,
    /// Those behind this one, which was the last of the page before. Default: from the latest on.
    pub after: Option<DeliveryId>,
    /// At most so many. Default: 100; at most 1,000 are listed.
    pub limit: u32,
}

impl Default for DeliveryPage {
    fn default() -> Self {
        Self {
            state: None,
            after: None,
            limit: 100,
        }
    }
}

impl DeliveryPage {
    /// Lists those in one state only.
    #[must_use]
    pub const fn in_state(mut self, state: DeliveryState) -> Self {
        self.state = Some(state);
        self
    }

    /// Lists those behind this one.
    #[must_use]
    pub const fn after(mut self, last_seen: DeliveryId) -> Self {
        self.after = Some(last_seen);
        self
    }

    /// Lists at most so many.
    #[must_use]
    pub const fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// What arrived on one day, and what became of it up to now.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DayStatistics {
    /// The day in UTC: `2026-11-21`.
    pub day: String,
    /// How many deliveries arrived, duplicates left out.
    pub received: u64,
    /// How many of them have no key.
    pub keyless: u64,
    /// How many have succeeded.
    pub succeeded: u64,
    /// How many are under way or wait for another attempt.
    pub waiting: u64,
    /// How many are dead letters.
    pub dead: u64,
    /// How many needed more than one attempt.
    pub retried: u64,
    /// How many an operator has asked to be delivered again.
    pub replayed: u64,
}

/// What became of an operator's wish to deliver something again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
#[non_exhaustive]
pub enum Redelivery {
    /// A worker delivers it as soon as it can.
    Queued,
    /// There is no such delivery.
    Absent,
    /// It has not failed: it succeeded, or its first attempt still runs.
    NotFailed(DeliveryState),
    /// Too many were asked for; this one can be asked for after the pause.
    RateLimited {
        /// How long to wait.
        retry_after: std::time::Duration,
    },
}

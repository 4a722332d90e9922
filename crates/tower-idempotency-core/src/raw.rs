//! Records as the columns of a database hold them, for stores that are written in SQL.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::StatusCode;

use crate::{
    Attempt, Claim, ClaimRequest, CrashPolicy, Failure, Fingerprint, IdempotencyKey, LeaseToken,
    Record, RecordId, RecordInfo, RecordState, Replay, Resolved, Scope, StoreError, StoreErrorKind,
    StoredResponse,
};

/// What a claim's statement found, before it is judged.
///
/// The database says what its clock says: whether the record has expired, and how long the lease
/// still lasts. [`judge`](Self::judge) applies the contract's order to it,
/// so that every store in SQL decides alike.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores build it column by column and must fill every one"
)]
pub struct RawClaim {
    /// The state; `None` if its word is none that a store writes.
    pub state: Option<RecordState>,
    /// The token of the present or last execution.
    pub token: LeaseToken,
    /// The fingerprint; `None` if its bytes are none that a store writes.
    pub fingerprint: Option<Fingerprint>,
    /// The number of executions.
    pub attempt: i64,
    /// Whether the present execution took the key over.
    pub takeover: bool,
    /// Whether the record counts as absent.
    pub expired: bool,
    /// How long the lease still lasts; zero or less if it is over or there is none.
    pub remaining_ms: i64,
    /// How long the record itself still lives, in microseconds; `None` for ever.
    pub life_us: Option<i64>,
    /// The kept response.
    pub response: Option<RawResponse>,
}

/// The columns of a kept response, in one piece of memory: replays are made of them.
#[derive(Clone, Debug)]
pub struct RawResponse {
    status: i64,
    head: Bytes,
    body: Option<Bytes>,
}

impl RawResponse {
    /// Copies the columns; `body` is `None` for a tombstone.
    #[must_use]
    pub fn copy_of(status: i64, head: &[u8], body: Option<&[u8]>) -> Self {
        let mut bytes = Vec::with_capacity(head.len() + body.map_or(0, <[u8]>::len));
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(body.unwrap_or_default());
        let mut bytes = Bytes::from(bytes);
        Self {
            status,
            head: bytes.split_to(head.len()),
            body: body.map(|_| bytes),
        }
    }

    fn decode(self) -> Result<StoredResponse, StoreError> {
        let status = u16::try_from(self.status).map_err(unreadable)?;
        StoredResponse::decode_shared(status, self.head, self.body)
    }
}

/// What a claim has to do.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a store must handle every case")]
pub enum Judgement {
    /// Give this answer; nothing changes.
    Answer(Claim<Attempt>),
    /// Put a new execution in the record's place, if its token is still `seen`.
    TakeOver {
        /// The token that guards the statement.
        seen: LeaseToken,
        /// What made the record free to take, which guards the statement too: a token can come
        /// back, when the claim that made it is tried again.
        because: Takeable,
    },
}

/// Why a record may be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must handle every case")]
pub enum Takeable {
    /// It has expired.
    Expired,
    /// Its execution failed.
    Failed,
    /// Its lease has run out.
    Dead,
}

impl Takeable {
    /// Returns the word that statements use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

impl RawClaim {
    /// Judges a claim, in the order that the contract of
    /// [`Store::claim`](crate::Store::claim) gives.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unreadable`] if a column holds what no store writes.
    pub fn judge(self, request: &ClaimRequest) -> Result<Judgement, StoreError> {
        let seen = self.token;
        let take_over = |because| Judgement::TakeOver { seen, because };
        if self.expired {
            return Ok(take_over(Takeable::Expired));
        }
        let state = self.state.ok_or_else(no_state)?;
        if state == RecordState::InProgress && self.token == request.token {
            let attempt = Attempt::new(parse_attempt(self.attempt)?, self.takeover);
            return Ok(Judgement::Answer(Claim::Acquired(attempt)));
        }
        let attempts = parse_attempt(self.attempt)?;
        if state == RecordState::Failed {
            return Ok(if request.allows_attempt_after(attempts) {
                take_over(Takeable::Failed)
            } else {
                Judgement::Answer(Claim::Exhausted)
            });
        }
        let fingerprint = self.fingerprint.ok_or_else(no_fingerprint)?;
        if !request.fingerprint.matches(&fingerprint) {
            return Ok(Judgement::Answer(Claim::Mismatch));
        }
        if state == RecordState::Completed {
            let response = self.response.ok_or_else(no_response)?.decode()?;
            let replay = Replay::new(response, self.life_us.map(parse_life));
            return Ok(Judgement::Answer(Claim::Completed(replay)));
        }
        Ok(match u64::try_from(self.remaining_ms) {
            Ok(remaining @ 1..) => Judgement::Answer(Claim::InProgress {
                remaining: Duration::from_millis(remaining),
            }),
            _ if request.crash_policy == CrashPolicy::Hold
                || !request.allows_attempt_after(attempts) =>
            {
                Judgement::Answer(Claim::OutcomeUnknown)
            }
            _ => take_over(Takeable::Dead),
        })
    }
}

/// Says why a key was not resolved, of the state and the remaining lease that a store finds
/// afterwards; `None` if it finds no record.
///
/// # Errors
///
/// [`StoreErrorKind::Unreadable`] if the state is none that a store writes.
pub fn unresolved(found: Option<(&str, i64)>) -> Result<Resolved, StoreError> {
    let Some((state, remaining_ms)) = found else {
        return Ok(Resolved::Absent);
    };
    Ok(match parse_state(state)? {
        RecordState::Completed => Resolved::Completed,
        // A record that could have been resolved and was not is held by a transaction.
        RecordState::InProgress | RecordState::Failed => Resolved::Running {
            remaining: Duration::from_millis(u64::try_from(remaining_ms).unwrap_or_default()),
        },
    })
}

/// A record's columns; times in microseconds since 1970, `None` for those that never come.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores build it column by column and must fill every one"
)]
pub struct RawRecord {
    /// The identity's bytes.
    pub id: Vec<u8>,
    /// The namespace.
    pub namespace: String,
    /// The principal.
    pub principal: String,
    /// The route.
    pub route: String,
    /// The key.
    pub key: String,
    /// The fingerprint's bytes.
    pub fingerprint: Vec<u8>,
    /// The state's word.
    pub state: String,
    /// The number of executions.
    pub attempt: i64,
    /// When the key was first claimed.
    pub created_us: i64,
    /// When the lease ends.
    pub lease_us: Option<i64>,
    /// When the execution ended.
    pub ended_us: Option<i64>,
    /// When the record counts as absent.
    pub expires_us: Option<i64>,
    /// The status of the kept response.
    pub status: Option<i64>,
    /// The category of the failure, and what it was.
    pub failure: Option<(String, String)>,
}

impl RawRecord {
    /// Reads the columns.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unreadable`] if a column holds what no store writes.
    pub fn into_info(self) -> Result<RecordInfo, StoreError> {
        let id: [u8; 32] = self
            .id
            .try_into()
            .map_err(|_| unreadable("an identity has 32 bytes"))?;
        Ok(RecordInfo {
            id: RecordId::from_bytes(id),
            scope: Scope::new(self.principal, self.route).in_namespace(self.namespace),
            key: IdempotencyKey::new(self.key).map_err(unreadable)?,
            fingerprint: parse_fingerprint(&self.fingerprint)?,
            state: parse_state(&self.state)?,
            attempt: parse_attempt(self.attempt)?,
            created_at: parse_time(self.created_us)?,
            lease_expires_at: self.lease_us.map(parse_time).transpose()?,
            ended_at: self.ended_us.map(parse_time).transpose()?,
            expires_at: self.expires_us.map(parse_time).transpose()?,
            status: self.status.map(parse_status).transpose()?,
            failure: self.failure.map(parse_failure).transpose()?,
        })
    }

    /// Reads the columns together with those of the kept response.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unreadable`] if a column holds what no store writes.
    pub fn into_record(
        self,
        head: Option<Vec<u8>>,
        body: Option<Vec<u8>>,
    ) -> Result<Record, StoreError> {
        let response = self.status.zip(head).map(|(status, head)| RawResponse {
            status,
            head: head.into(),
            body: body.map(Bytes::from),
        });
        let response = response.map(RawResponse::decode).transpose()?;
        Ok(Record::new(self.into_info()?, response))
    }
}

fn parse_state(word: &str) -> Result<RecordState, StoreError> {
    RecordState::from_word(word).ok_or_else(no_state)
}

fn parse_attempt(attempt: i64) -> Result<u32, StoreError> {
    u32::try_from(attempt).map_err(unreadable)
}

fn parse_fingerprint(bytes: &[u8]) -> Result<Fingerprint, StoreError> {
    Fingerprint::from_bytes(bytes).ok_or_else(no_fingerprint)
}

fn no_state() -> StoreError {
    unreadable("unknown state of a record")
}

fn no_fingerprint() -> StoreError {
    unreadable("not the bytes of a fingerprint")
}

fn no_response() -> StoreError {
    unreadable("a completed record has no response")
}

/// Reads the life of a record that has not expired: a rest too short to be counted is one.
fn parse_life(microseconds: i64) -> Duration {
    Duration::from_micros(u64::try_from(microseconds).unwrap_or_default().max(1))
}

fn parse_status(status: i64) -> Result<StatusCode, StoreError> {
    let status = u16::try_from(status).map_err(unreadable)?;
    StatusCode::from_u16(status).map_err(unreadable)
}

fn parse_failure((category, error): (String, String)) -> Result<Failure, StoreError> {
    match category.as_str() {
        "transient" => Ok(Failure::transient(error)),
        "permanent" => Ok(Failure::permanent(error)),
        _ => Err(unreadable("unknown category of a failure")),
    }
}

fn parse_time(microseconds: i64) -> Result<SystemTime, StoreError> {
    let since = Duration::from_micros(microseconds.unsigned_abs());
    let time = if microseconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(since)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since)
    };
    time.ok_or_else(|| unreadable("a time is out of range"))
}

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Unreadable, source)
}

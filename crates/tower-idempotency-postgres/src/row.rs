//! Rows, read.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sqlx::{Row, postgres::PgRow};
use tower_idempotency_core::{
    Attempt, Failure, Fingerprint, IdempotencyKey, LeaseToken, Record, RecordId, RecordInfo,
    RecordState, Scope, StoredResponse,
};

/// What a claim found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) state: State,
    pub(crate) token: LeaseToken,
    pub(crate) attempt: Attempt,
    pub(crate) has_expired: bool,
}

#[derive(Debug)]
pub(crate) enum State {
    /// The claim made the record.
    Made,
    InProgress {
        fingerprint: Fingerprint,
        remaining: Duration,
    },
    Completed {
        fingerprint: Fingerprint,
        status: u16,
        head: Vec<u8>,
        body: Option<Bytes>,
    },
    Failed,
}

impl Found {
    pub(crate) fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            state: State::read(row)?,
            token: LeaseToken::from_uuid(row.try_get("token")?),
            attempt: attempt(row)?,
            has_expired: row.try_get("expired")?,
        })
    }
}

impl State {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        let Some(state) = row.try_get::<Option<String>, _>("state")? else {
            return Ok(Self::Made);
        };
        Ok(match parse_state(&state)? {
            RecordState::Failed => Self::Failed,
            RecordState::InProgress => Self::InProgress {
                fingerprint: fingerprint(row)?,
                remaining: Duration::from_millis(
                    u64::try_from(row.try_get::<i64, _>("remaining_ms")?).unwrap_or(0),
                ),
            },
            RecordState::Completed => Self::Completed {
                fingerprint: fingerprint(row)?,
                status: status(row.try_get("response_status")?)?,
                head: row.try_get("response_head")?,
                body: body(row)?,
            },
        })
    }
}

/// Reads the attempt of a claim or a takeover.
pub(crate) fn attempt(row: &PgRow) -> sqlx::Result<Attempt> {
    let number: i32 = row.try_get("attempt")?;
    let number = u32::try_from(number).map_err(undecodable)?;
    Ok(Attempt::new(number, row.try_get("takeover")?))
}

/// Reads a record with its response.
pub(crate) fn record(row: &PgRow) -> sqlx::Result<Record> {
    let info = info(row)?;
    let response = info.status.map(|status| {
        let head: Vec<u8> = row.try_get("response_head")?;
        StoredResponse::decode(status.as_u16(), &head, body(row)?).map_err(undecodable)
    });
    Ok(Record::new(info, response.transpose()?))
}

/// Reads a record without its response.
pub(crate) fn info(row: &PgRow) -> sqlx::Result<RecordInfo> {
    let id: Vec<u8> = row.try_get("id")?;
    let id: [u8; 32] = id
        .try_into()
        .map_err(|_| undecodable("an identity has 32 bytes"))?;
    let text = |column: &str| row.try_get::<String, _>(column);
    let response_status: Option<i16> = row.try_get("response_status")?;
    Ok(RecordInfo {
        id: RecordId::from_bytes(id),
        scope: Scope::new(text("principal")?, text("route")?).in_namespace(text("namespace")?),
        key: IdempotencyKey::new(text("key")?).map_err(undecodable)?,
        fingerprint: fingerprint(row)?,
        state: parse_state(&text("state")?)?,
        attempt: u32::try_from(row.try_get::<i32, _>("attempt")?).map_err(undecodable)?,
        created_at: time(row.try_get("created_us")?)?,
        lease_expires_at: row
            .try_get::<Option<_>, _>("lease_us")?
            .map(time)
            .transpose()?,
        ended_at: row
            .try_get::<Option<_>, _>("ended_us")?
            .map(time)
            .transpose()?,
        expires_at: row
            .try_get::<Option<_>, _>("expires_us")?
            .map(time)
            .transpose()?,
        status: response_status
            .map(|code| http::StatusCode::from_u16(status(code)?).map_err(undecodable))
            .transpose()?,
        failure: failure(row)?,
    })
}

fn failure(row: &PgRow) -> sqlx::Result<Option<Failure>> {
    let Some(error) = row.try_get::<Option<String>, _>("failure_error")? else {
        return Ok(None);
    };
    match row.try_get("failure_category")? {
        "transient" => Ok(Some(Failure::transient(error))),
        "permanent" => Ok(Some(Failure::permanent(error))),
        _ => Err(undecodable("unknown category of a failure")),
    }
}

fn fingerprint(row: &PgRow) -> sqlx::Result<Fingerprint> {
    Fingerprint::from_bytes(row.try_get("fingerprint")?)
        .ok_or_else(|| undecodable("a fingerprint has a version and 32 bytes"))
}

fn body(row: &PgRow) -> sqlx::Result<Option<Bytes>> {
    Ok(row
        .try_get::<Option<Vec<u8>>, _>("response_body")?
        .map(Bytes::from))
}

fn status(status: i16) -> sqlx::Result<u16> {
    u16::try_from(status).map_err(undecodable)
}

pub(crate) fn parse_state(state: &str) -> sqlx::Result<RecordState> {
    [
        RecordState::InProgress,
        RecordState::Completed,
        RecordState::Failed,
    ]
    .into_iter()
    .find(|known| known.as_str() == state)
    .ok_or_else(|| undecodable("unknown state of a record"))
}

fn time(microseconds: i64) -> sqlx::Result<SystemTime> {
    let since = Duration::from_micros(microseconds.unsigned_abs());
    let time = if microseconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(since)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since)
    };
    time.ok_or_else(|| undecodable("a time is out of range"))
}

fn undecodable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(source.into())
}

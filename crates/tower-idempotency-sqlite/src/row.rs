//! Rows, read.

use sqlx::{Row, sqlite::SqliteRow};
use tower_idempotency_core::{
    Attempt, Fingerprint, LeaseToken, RawClaim, RawRecord, RawResponse, Record, RecordInfo,
    RecordState, StoreError,
};

/// Reads what a claim found.
pub(crate) fn claim(row: &SqliteRow) -> sqlx::Result<RawClaim> {
    let token: &[u8] = row.try_get("token")?;
    let token = token.try_into();
    let token = token.map_err(|_| sqlx::Error::Decode("a token has 16 bytes".into()))?;
    let status: Option<i64> = row.try_get("response_status")?;
    let head: Option<&[u8]> = row.try_get("response_head")?;
    let body = row.try_get("response_body")?;
    let life: Option<i64> = row.try_get("life_ms")?;
    Ok(RawClaim {
        state: RecordState::from_word(row.try_get("state")?),
        token: LeaseToken::from_bytes(token),
        fingerprint: Fingerprint::from_bytes(row.try_get("fingerprint")?),
        attempt: row.try_get("attempt")?,
        takeover: row.try_get("takeover")?,
        expired: row.try_get("expired")?,
        remaining_ms: row.try_get("remaining_ms")?,
        life_us: life.map(|ms| ms.saturating_mul(1_000)),
        response: status
            .zip(head)
            .map(|(status, head)| RawResponse::copy_of(status, head, body)),
    })
}

/// Reads the attempt that a takeover began.
pub(crate) fn attempt(row: &SqliteRow) -> sqlx::Result<Attempt> {
    let number = u32::try_from(row.try_get::<i64, _>("attempt")?);
    let number = number.map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Attempt::new(number, row.try_get("takeover")?))
}

/// Reads a record with its response.
pub(crate) fn record(row: &SqliteRow) -> sqlx::Result<Record> {
    let head = row.try_get("response_head")?;
    let body = row.try_get("response_body")?;
    raw(row)?.into_record(head, body).map_err(undecodable)
}

/// Reads a record without its response.
pub(crate) fn info(row: &SqliteRow) -> sqlx::Result<RecordInfo> {
    raw(row)?.into_info().map_err(undecodable)
}

/// Carries an unreadable column through the driver's error type.
pub(crate) fn undecodable(error: StoreError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn raw(row: &SqliteRow) -> sqlx::Result<RawRecord> {
    let category: Option<String> = row.try_get("failure_category")?;
    let error: Option<String> = row.try_get("failure_error")?;
    let microseconds = |column: &str| -> sqlx::Result<Option<i64>> {
        let milliseconds: Option<i64> = row.try_get(column)?;
        Ok(milliseconds.map(|ms| ms.saturating_mul(1_000)))
    };
    Ok(RawRecord {
        id: row.try_get("id")?,
        namespace: row.try_get("namespace")?,
        principal: row.try_get("principal")?,
        route: row.try_get("route")?,
        key: row.try_get("key")?,
        fingerprint: row.try_get("fingerprint")?,
        state: row.try_get("state")?,
        attempt: row.try_get("attempt")?,
        created_us: microseconds("created_at")?.unwrap_or_default(),
        lease_us: microseconds("lease_expires_at")?,
        ended_us: microseconds("ended_at")?,
        expires_us: microseconds("expires_at")?,
        status: row.try_get("response_status")?,
        failure: category.zip(error),
    })
}

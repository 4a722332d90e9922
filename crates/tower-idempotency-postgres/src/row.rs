//! Rows, read.

use sqlx::{Row, postgres::PgRow};
use tower_idempotency_core::{
    Attempt, Fingerprint, LeaseToken, RawClaim, RawRecord, RawResponse, Record, RecordId,
    RecordInfo, RecordState, StoreError,
};

/// Reads the record that a claim found.
///
/// The row can be an answer in text, so bytes are not borrowed from it.
pub(crate) fn claim(row: &PgRow) -> sqlx::Result<RawClaim> {
    let status: Option<i16> = row.try_get("response_status")?;
    let head: Option<Vec<u8>> = row.try_get("response_head")?;
    let body: Option<Vec<u8>> = row.try_get("response_body")?;
    let fingerprint: Vec<u8> = row.try_get("fingerprint")?;
    Ok(RawClaim {
        state: RecordState::from_word(row.try_get("state")?),
        token: LeaseToken::from_uuid(row.try_get("token")?),
        fingerprint: Fingerprint::from_bytes(&fingerprint),
        attempt: row.try_get::<i32, _>("attempt")?.into(),
        takeover: row.try_get("takeover")?,
        expired: row.try_get("expired")?,
        remaining_ms: row.try_get("remaining_ms")?,
        life_us: row.try_get("life_us")?,
        response: response(status, head.as_deref(), body.as_deref()),
    })
}

/// Reads a record that a batch of claims found, by place: it is done for every replay.
pub(crate) fn found(row: &PgRow) -> sqlx::Result<RawClaim> {
    let status: Option<i16> = row.try_get_unchecked(10)?;
    let head: Option<&[u8]> = row.try_get_unchecked(11)?;
    let body = row.try_get_unchecked(12)?;
    Ok(RawClaim {
        state: RecordState::from_word(row.try_get_unchecked(3)?),
        token: LeaseToken::from_uuid(row.try_get_unchecked(4)?),
        fingerprint: Fingerprint::from_bytes(row.try_get_unchecked(5)?),
        attempt: row.try_get_unchecked::<i32, _>(6)?.into(),
        takeover: row.try_get_unchecked(7)?,
        expired: row.try_get_unchecked(8)?,
        remaining_ms: row.try_get_unchecked(9)?,
        life_us: row.try_get_unchecked(13)?,
        response: response(status, head, body),
    })
}

fn response(status: Option<i16>, head: Option<&[u8]>, body: Option<&[u8]>) -> Option<RawResponse> {
    let (status, head) = status.zip(head)?;
    Some(RawResponse::copy_of(status.into(), head, body))
}

/// Reads the attempt that a takeover began.
pub(crate) fn attempt(row: &PgRow) -> sqlx::Result<Attempt> {
    let number = u32::try_from(row.try_get::<i32, _>("attempt")?);
    let number = number.map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Attempt::new(number, row.try_get("takeover")?))
}

/// Reads how many rows a part of a statement has changed.
pub(crate) fn count(row: &PgRow, column: &str) -> sqlx::Result<u64> {
    let count = u64::try_from(row.try_get::<i64, _>(column)?);
    count.map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Reads an identity.
pub(crate) fn id(row: &PgRow) -> sqlx::Result<RecordId> {
    let bytes: Vec<u8> = row.try_get("id")?;
    let bytes: Result<[u8; 32], _> = bytes.try_into();
    let bytes = bytes.map_err(|_| sqlx::Error::Decode("an identity has 32 bytes".into()))?;
    Ok(RecordId::from_bytes(bytes))
}

/// Reads a record with its response.
pub(crate) fn record(row: &PgRow) -> sqlx::Result<Record> {
    let head = row.try_get("response_head")?;
    let body = row.try_get("response_body")?;
    raw(row)?.into_record(head, body).map_err(undecodable)
}

/// Reads a record without its response.
pub(crate) fn info(row: &PgRow) -> sqlx::Result<RecordInfo> {
    raw(row)?.into_info().map_err(undecodable)
}

/// Carries an unreadable column through the driver's error type.
pub(crate) fn undecodable(error: StoreError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

fn raw(row: &PgRow) -> sqlx::Result<RawRecord> {
    let category: Option<String> = row.try_get("failure_category")?;
    let error: Option<String> = row.try_get("failure_error")?;
    Ok(RawRecord {
        id: row.try_get("id")?,
        namespace: row.try_get("namespace")?,
        principal: row.try_get("principal")?,
        route: row.try_get("route")?,
        key: row.try_get("key")?,
        fingerprint: row.try_get("fingerprint")?,
        state: row.try_get("state")?,
        attempt: row.try_get::<i32, _>("attempt")?.into(),
        created_us: row.try_get("created_us")?,
        lease_us: row.try_get("lease_us")?,
        ended_us: row.try_get("ended_us")?,
        expires_us: row.try_get("expires_us")?,
        status: row
            .try_get::<Option<i16>, _>("response_status")?
            .map(i64::from),
        failure: category.zip(error),
    })
}

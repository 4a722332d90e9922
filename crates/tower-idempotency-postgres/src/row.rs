//! Rows, read.

use sqlx::{
    Row,
    postgres::{PgRow, types::PgInterval},
};
use tower_idempotency_core::{
    Attempt, Fingerprint, LeaseToken, RawClaim, RawRecord, RawResponse, Record, RecordId,
    RecordInfo, RecordState, StoreError,
};

/// Reads the record that a claim found, from this column on: it is done for every replay.
pub(crate) fn claim(row: &PgRow, first: usize) -> sqlx::Result<RawClaim> {
    let lease: Option<PgInterval> = row.try_get_unchecked(first + 4)?;
    let life: Option<PgInterval> = row.try_get_unchecked(first + 5)?;
    let status: Option<i16> = row.try_get_unchecked(first + 6)?;
    let head: Option<&[u8]> = row.try_get_unchecked(first + 7)?;
    let body = row.try_get_unchecked(first + 8)?;
    let (lease_us, life_us) = (lease.map(microseconds), life.map(microseconds));
    Ok(RawClaim {
        state: Some(match (lease_us, status) {
            (Some(_), _) => RecordState::InProgress,
            (None, Some(_)) => RecordState::Completed,
            (None, None) => RecordState::Failed,
        }),
        token: LeaseToken::from_uuid(row.try_get_unchecked(first)?),
        fingerprint: Fingerprint::from_bytes(row.try_get_unchecked(first + 1)?),
        attempt: row.try_get_unchecked::<i32, _>(first + 2)?.into(),
        takeover: row.try_get_unchecked(first + 3)?,
        expired: life_us.is_some_and(|life| life <= 0),
        remaining_ms: lease_us.map_or(0, rounded_up_to_ms),
        life_us,
        response: response(status, head, body),
    })
}

/// A difference of two times has days, of 24 hours each, and no months.
fn microseconds(interval: PgInterval) -> i64 {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    (i64::from(interval.days) * DAY).saturating_add(interval.microseconds)
}

const fn rounded_up_to_ms(microseconds: i64) -> i64 {
    microseconds.div_euclid(1000) + (microseconds.rem_euclid(1000) != 0) as i64
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_all_of_its_parts() {
        let left = PgInterval {
            months: 0,
            days: 2,
            microseconds: -1,
        };
        assert_eq!(microseconds(left), 2 * 86_400_000_000 - 1);
    }

    #[test]
    fn a_part_of_a_millisecond_that_is_left_is_a_whole_one() {
        for (microseconds, ms) in [(1, 1), (1000, 1), (1001, 2), (0, 0), (-1, 0), (-1001, -1)] {
            assert_eq!(rounded_up_to_ms(microseconds), ms, "{microseconds}");
        }
    }
}

//! Claiming.

use std::{borrow::Cow, time::Duration};

use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, CrashPolicy, LeaseToken, Retention, StoredResponse,
};

use crate::{
    row::{self, Found, State},
    shared::Shared,
};

/// How often a claim looks again after it lost a race, before it answers "in progress".
const ROUNDS: u32 = 8;

/// A thousand years: more than the server's timestamps should be asked to hold.
const LONGEST_MS: i64 = 1_000 * 366 * 24 * 60 * 60 * 1_000;

/// Claims the key: one statement, and a second one only for records whose time is over.
pub(crate) async fn claim(shared: &Shared, request: &ClaimRequest) -> sqlx::Result<Claim<Attempt>> {
    let mut connection = shared.connection().await?;
    let claim = claim_on(&mut connection, shared, request).await;
    connection.done();
    claim
}

async fn claim_on(
    connection: &mut sqlx::PgConnection,
    shared: &Shared,
    request: &ClaimRequest,
) -> sqlx::Result<Claim<Attempt>> {
    for _ in 0..ROUNDS {
        // Somebody who has just committed made the record: look again.
        let Some(found) = find_or_insert(connection, shared, request).await? else {
            continue;
        };
        if let Some(claim) = answer(&found, request)? {
            return Ok(claim);
        }
        if let Some(attempt) = take_over(connection, shared, request, found.token).await? {
            return Ok(Claim::Acquired(attempt));
        }
    }
    // Whoever holds the row is at work on it.
    Ok(Claim::InProgress {
        remaining: request.lease,
    })
}

/// Judges what was found; `None` if the record's place can be taken.
fn answer(found: &Found, request: &ClaimRequest) -> sqlx::Result<Option<Claim<Attempt>>> {
    if matches!(found.state, State::Made) {
        return Ok(Some(Claim::Acquired(Attempt::FIRST)));
    }
    if found.has_expired {
        return Ok(None);
    }
    Ok(match &found.state {
        State::Made | State::Failed => None,
        State::InProgress { .. } if found.token == request.token => {
            Some(Claim::Acquired(found.attempt))
        }
        State::InProgress { fingerprint, .. } | State::Completed { fingerprint, .. }
            if !request.fingerprint.matches(fingerprint) =>
        {
            Some(Claim::Mismatch)
        }
        State::InProgress { remaining, .. } if !remaining.is_zero() => Some(Claim::InProgress {
            remaining: *remaining,
        }),
        State::InProgress { .. } if request.crash_policy == CrashPolicy::Hold => {
            Some(Claim::OutcomeUnknown)
        }
        State::InProgress { .. } => None,
        State::Completed {
            status, head, body, ..
        } => {
            let response = StoredResponse::decode(*status, head, body.clone());
            let response = response.map_err(|error| sqlx::Error::Decode(error.into()))?;
            Some(Claim::Completed(response))
        }
    })
}

async fn find_or_insert(
    connection: &mut sqlx::PgConnection,
    shared: &Shared,
    request: &ClaimRequest,
) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query(shared.sql.claim.clone())
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_uuid())
        .bind(request.fingerprint.to_bytes())
        .bind(readable(request.scope.namespace()))
        .bind(readable(request.scope.principal()))
        .bind(readable(request.scope.route()))
        .bind(request.key.as_str())
        .bind(milliseconds(request.lease))
        .bind(abandoned_ms(request))
        .bind(retention_ms(request.retention))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(Found::read).transpose()
}

async fn take_over(
    connection: &mut sqlx::PgConnection,
    shared: &Shared,
    request: &ClaimRequest,
    seen: LeaseToken,
) -> sqlx::Result<Option<Attempt>> {
    let row = sqlx::query(shared.sql.take_over.clone())
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_uuid())
        .bind(request.fingerprint.to_bytes())
        .bind(seen.as_uuid())
        .bind(request.crash_policy != CrashPolicy::Hold)
        .bind(milliseconds(request.lease))
        .bind(abandoned_ms(request))
        .bind(retention_ms(request.retention))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::attempt).transpose()
}

/// How long a record stays whose lease ran out; `None` for ever.
pub(crate) fn abandoned_ms(request: &ClaimRequest) -> Option<i64> {
    match request.crash_policy {
        CrashPolicy::Hold => None,
        _ => retention_ms(request.failed_retention),
    }
}

pub(crate) fn retention_ms(retention: Retention) -> Option<i64> {
    retention.duration().map(milliseconds)
}

/// Times beyond a thousand years are cut there.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(LONGEST_MS, |ms| ms.min(LONGEST_MS))
}

/// The server's text cannot hold NUL. The identity keeps such names apart all the same.
fn readable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

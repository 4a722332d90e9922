//! Claiming.

use std::borrow::Cow;

use sqlx::PgConnection;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Judgement, LeaseToken, RawClaim, Retention, Takeable,
};

use crate::{row, sabotage::Guard, shared::Shared};

/// How often a claim looks again after it lost a race, before it answers "in progress".
const ROUNDS: u32 = 8;

/// What the claim's statement came to.
enum Found {
    /// It made the record.
    Made,
    /// Somebody else made the record at the same time, and has just committed: look again.
    Missed,
    /// The record that was there.
    Record(RawClaim),
}

/// Claims the key: one statement, and a second one only for records whose time is over.
pub(crate) async fn claim(shared: &Shared, request: &ClaimRequest) -> sqlx::Result<Claim<Attempt>> {
    let mut connection = shared.begin().await?;
    let claim = claim_on(&mut connection, shared, request).await;
    connection.finish(claim).await
}

async fn claim_on(
    connection: &mut PgConnection,
    shared: &Shared,
    request: &ClaimRequest,
) -> sqlx::Result<Claim<Attempt>> {
    for _ in 0..ROUNDS {
        let found = match find_or_insert(connection, shared, request).await? {
            Found::Made => return Ok(Claim::Acquired(Attempt::FIRST)),
            Found::Missed => continue,
            Found::Record(found) => found,
        };
        let found = recognisable(shared, request, found);
        let (seen, because) = match found.judge(request).map_err(row::undecodable)? {
            Judgement::Answer(claim) => return Ok(claim),
            Judgement::TakeOver { seen, because } => (seen, because),
        };
        if let Some(attempt) = take_over(connection, shared, request, seen, because).await? {
            return Ok(Claim::Acquired(attempt));
        }
    }
    // Whoever holds the row is at work on it.
    Ok(Claim::InProgress {
        remaining: request.lease,
    })
}

/// Makes a claim's own record look like another's, if that guard is left out.
fn recognisable(shared: &Shared, request: &ClaimRequest, mut found: RawClaim) -> RawClaim {
    if shared.left_out == Some(Guard::TokenRecognition) && found.token == request.token {
        found.token = LeaseToken::random();
    }
    found
}

async fn find_or_insert(
    connection: &mut PgConnection,
    shared: &Shared,
    request: &ClaimRequest,
) -> sqlx::Result<Found> {
    let row = shared
        .query(&shared.sql.claim)
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_uuid())
        .bind(request.fingerprint.to_bytes())
        .bind(readable(request.scope.namespace()))
        .bind(readable(request.scope.principal()))
        .bind(readable(request.scope.route()))
        .bind(request.key.as_str())
        .bind(Retention::For(request.lease).milliseconds())
        .bind(request.abandoned_retention().milliseconds())
        .bind(request.retention.milliseconds())
        .fetch_optional(connection)
        .await?;
    Ok(match row.as_ref().map(row::claim).transpose()? {
        None => Found::Missed,
        Some(None) => Found::Made,
        Some(Some(found)) => Found::Record(found),
    })
}

async fn take_over(
    connection: &mut PgConnection,
    shared: &Shared,
    request: &ClaimRequest,
    seen: LeaseToken,
    because: Takeable,
) -> sqlx::Result<Option<Attempt>> {
    let row = shared
        .query(&shared.sql.take_over)
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_uuid())
        .bind(request.fingerprint.to_bytes())
        .bind(seen.as_uuid())
        .bind(because.as_str())
        .bind(Retention::For(request.lease).milliseconds())
        .bind(request.abandoned_retention().milliseconds())
        .bind(request.retention.milliseconds())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row::attempt).transpose()
}

/// The server's text cannot hold NUL. The identity keeps such names apart all the same.
pub(crate) fn readable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

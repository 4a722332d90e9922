//! Claiming.

use std::{borrow::Cow, sync::Arc};

use sqlx::{PgConnection, Postgres, Row, postgres::PgArguments, query::Query};
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Judgement, LeaseToken, RawClaim, Retention, Takeable,
};

use crate::{
    batch::Batches,
    connection::Connection,
    place::Place,
    row,
    sabotage::Guard,
    shared::Shared,
    sql::{Sql, Text},
};

/// How often a claim looks again after it lost a race, before it answers "in progress".
const ROUNDS: u32 = 8;

/// What the claim's statement came to.
#[derive(Debug)]
pub(crate) enum Found {
    /// It made the record, there.
    Made(Place),
    /// Somebody else had made the record, and it could not be seen or is gone again: look again.
    Missed,
    /// The record that was there; in a box, since nearly all claims are of new keys, and each has
    /// room for its answer where it waits.
    Record(Box<RawClaim>),
}

impl Found {
    pub(crate) fn record(found: RawClaim) -> Self {
        Self::Record(Box::new(found))
    }
}

/// What a claim has begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub(crate) attempt: Attempt,
    /// Where the record's row is, if the claim made it.
    pub(crate) place: Option<Place>,
}

/// Claims the key: one statement for a new one, and another to take over a record whose time is
/// over. By itself, a claim also reads in a statement of its own what it did not have to make.
///
/// With batches, the statements are shared; without, they have a connection of the pool.
///
/// Whatever the usual way does not come by is in a box: every request has this future on the heap.
pub(crate) async fn claim(
    shared: &Shared,
    request: &Arc<ClaimRequest>,
) -> sqlx::Result<Claim<Begun>> {
    match &shared.batches {
        Some(batches) => claim_by(&mut Way::Batches(batches), shared, request).await,
        None => Box::pin(claim_alone(shared, request)).await,
    }
}

async fn claim_alone(shared: &Shared, request: &Arc<ClaimRequest>) -> sqlx::Result<Claim<Begun>> {
    let mut way = Way::Alone(shared.begin().await?);
    let claim = claim_by(&mut way, shared, request).await;
    match way {
        Way::Alone(connection) => connection.finish(claim).await,
        Way::Batches(_) => claim,
    }
}

impl Begun {
    /// For a row that may have moved.
    const fn elsewhere(attempt: Attempt) -> Self {
        Self {
            attempt,
            place: None,
        }
    }
}

/// How the statements of a claim get to the server.
enum Way<'a> {
    Batches(&'a Batches),
    Alone(Connection),
}

impl Way<'_> {
    async fn insert_or_find(
        &mut self,
        shared: &Shared,
        request: &Arc<ClaimRequest>,
    ) -> sqlx::Result<Found> {
        match self {
            Self::Batches(batches) => batches.claim(request, !shared.sql.relaxed_claims).await,
            Self::Alone(connection) => {
                let query = |text: &_| shared.query(text);
                Box::pin(insert_or_find(connection, &shared.sql, query, request)).await
            }
        }
    }

    async fn take_over(
        &mut self,
        shared: &Shared,
        request: &Arc<ClaimRequest>,
        seen: LeaseToken,
        because: Takeable,
    ) -> sqlx::Result<Option<Attempt>> {
        match self {
            Self::Batches(batches) => batches.take_over(request, seen, because).await,
            Self::Alone(connection) => {
                let query = shared.query(&shared.sql.take_over);
                take_over(connection, query, request, seen, because).await
            }
        }
    }
}

async fn claim_by(
    way: &mut Way<'_>,
    shared: &Shared,
    request: &Arc<ClaimRequest>,
) -> sqlx::Result<Claim<Begun>> {
    for _ in 0..ROUNDS {
        let found = match way.insert_or_find(shared, request).await? {
            Found::Made(place) => {
                return Ok(Claim::Acquired(Begun {
                    attempt: Attempt::FIRST,
                    place: Some(place),
                }));
            }
            Found::Missed => continue,
            Found::Record(found) => found,
        };
        let found = recognisable(shared, request, found);
        let (seen, because) = match found.judge(request).map_err(row::undecodable)? {
            Judgement::Answer(answer) => return Ok(answer.map(Begun::elsewhere)),
            Judgement::TakeOver { seen, because } => (seen, because),
        };
        let take_over = Box::pin(way.take_over(shared, request, seen, because));
        if let Some(attempt) = take_over.await? {
            return Ok(Claim::Acquired(Begun::elsewhere(attempt)));
        }
    }
    // Whoever holds the row is at work on it.
    Ok(Claim::InProgress {
        remaining: request.lease,
    })
}

/// Makes a claim's own record look like another's, if that guard is left out.
fn recognisable(
    shared: &Shared,
    request: &ClaimRequest,
    mut found: Box<RawClaim>,
) -> Box<RawClaim> {
    if shared.left_out == Some(Guard::TokenRecognition) && found.token == request.token {
        found.token = LeaseToken::random();
    }
    found
}

/// Makes the record; if there is one, reads it.
pub(crate) async fn insert_or_find(
    connection: &mut PgConnection,
    sql: &Sql,
    query: impl Fn(&Text) -> Query<'static, Postgres, PgArguments>,
    request: &ClaimRequest,
) -> sqlx::Result<Found> {
    let id = request.id.as_bytes().as_slice();
    let made = query(&sql.claim)
        .bind(id)
        .bind(request.token.as_uuid())
        .bind(request.fingerprint.to_bytes())
        .bind(readable(request.scope.namespace()))
        .bind(readable(request.scope.principal()))
        .bind(readable(request.scope.route()))
        .bind(request.key.as_str())
        .bind(Retention::For(request.lease).milliseconds())
        .bind(request.abandoned_retention().milliseconds())
        .bind(request.retention.milliseconds())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(made) = made {
        let place = Place::from_sent(made.try_get_unchecked(0)?);
        return place.map(Found::Made).ok_or(sqlx::Error::RowNotFound);
    }
    let found = query(&sql.found)
        .bind(id)
        .fetch_optional(connection)
        .await?;
    let found = found.as_ref().map(|row| row::claim(row, 0)).transpose()?;
    // Whoever made the record may have given it up since.
    Ok(found.map_or(Found::Missed, Found::record))
}

/// Takes over the record that was found.
pub(crate) async fn take_over(
    connection: &mut PgConnection,
    query: Query<'static, Postgres, PgArguments>,
    request: &ClaimRequest,
    seen: LeaseToken,
    because: Takeable,
) -> sqlx::Result<Option<Attempt>> {
    let row = query
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

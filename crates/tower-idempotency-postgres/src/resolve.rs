//! What operators and waiting duplicates ask.

use sqlx::Row;
use tower_idempotency_core::{LeaseToken, RecordId, Resolution, Resolved, unresolved};

use crate::{execution::bind_response, row, shared::Shared};

/// Resolves a key that nobody is at work on.
pub(crate) async fn resolve(
    shared: &Shared,
    id: &RecordId,
    resolution: &Resolution,
) -> sqlx::Result<Resolved> {
    let token = LeaseToken::random();
    let query = match resolution {
        Resolution::Answer(completed) => bind_response(
            shared
                .query(&shared.sql.answer)
                .bind(id.as_bytes().as_slice())
                .bind(token.as_uuid()),
            completed,
        ),
        Resolution::Free => shared
            .query(&shared.sql.free_abandoned)
            .bind(id.as_bytes().as_slice()),
    };
    let mut connection = shared.begin().await?;
    let done = query.execute(&mut *connection).await;
    if connection.finish(done).await?.rows_affected() == 1 {
        return Ok(Resolved::Applied);
    }
    let found = find(shared, id).await?;
    let found = found
        .as_ref()
        .map(|(state, remaining)| (&**state, *remaining));
    unresolved(found).map_err(row::undecodable)
}

/// Reads the state of a record, and how long its lease still lasts, in ms.
pub(crate) async fn find(shared: &Shared, id: &RecordId) -> sqlx::Result<Option<(String, i64)>> {
    let mut connection = shared.begin().await?;
    let found = shared
        .query(&shared.sql.remaining)
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&mut *connection)
        .await;
    let row = connection.finish(found).await?;
    row.map(|row| Ok((row.try_get("state")?, row.try_get("remaining_ms")?)))
        .transpose()
}

/// Returns those of `ids` that nobody is at work on.
pub(crate) async fn ended(shared: &Shared, ids: &[RecordId]) -> sqlx::Result<Vec<RecordId>> {
    let asked: Vec<_> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let mut connection = shared.begin().await?;
    let rows = shared
        .query(&shared.sql.ended)
        .bind(asked)
        .fetch_all(&mut *connection)
        .await;
    let rows = connection.finish(rows).await?;
    rows.iter().map(row::id).collect()
}

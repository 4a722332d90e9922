//! What operators and waiting duplicates ask.

use sqlx::Row;
use tower_idempotency_core::{LeaseToken, RecordId, Resolution, Resolved, unresolved};

use crate::{row, shared::Shared, sql};

/// Resolves a key that nobody is at work on.
pub(crate) async fn resolve(
    shared: &Shared,
    id: &RecordId,
    resolution: &Resolution,
) -> sqlx::Result<Resolved> {
    let token = LeaseToken::random();
    let query = match resolution {
        Resolution::Answer(completed) => sqlx::query(sql::ANSWER)
            .bind(id.as_bytes().as_slice())
            .bind(token.as_bytes().as_slice())
            .bind(completed.retention.milliseconds())
            .bind(completed.response.status().as_u16())
            .bind(completed.response.head())
            .bind(completed.response.body().map(AsRef::<[u8]>::as_ref)),
        Resolution::Free => sqlx::query(sql::FREE_ABANDONED).bind(id.as_bytes().as_slice()),
    };
    if query.execute(&shared.writer).await?.rows_affected() == 1 {
        return Ok(Resolved::Applied);
    }
    let found = find(shared, id).await?;
    let found = found
        .as_ref()
        .map(|(state, remaining)| (&**state, *remaining));
    unresolved(found).map_err(row::undecodable)
}

/// Returns those of `ids` that nobody is at work on.
pub(crate) async fn ended(shared: &Shared, ids: &[RecordId]) -> sqlx::Result<Vec<RecordId>> {
    let mut ended = Vec::new();
    for id in ids {
        let running = find(shared, id)
            .await?
            .is_some_and(|(state, remaining)| state == "in_progress" && remaining > 0);
        if !running {
            ended.push(*id);
        }
    }
    Ok(ended)
}

/// Reads the state of a record, and how long its lease still lasts, in ms.
pub(crate) async fn find(shared: &Shared, id: &RecordId) -> sqlx::Result<Option<(String, i64)>> {
    let row = sqlx::query(sql::REMAINING)
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&shared.readers)
        .await?;
    row.map(|row| Ok((row.try_get("state")?, row.try_get("remaining_ms")?)))
        .transpose()
}

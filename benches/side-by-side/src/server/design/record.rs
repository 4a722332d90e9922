//! The table of the designs, and the statements that they have in common.

use axum::response::Response;
use bytes::Bytes;
use sqlx::{PgConnection, PgPool, Row};

use super::{kept::Kept, keyed::Keyed};
use crate::{Arguments, pool};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS requests (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    status smallint,
    headers bytea,
    body bytea,
    PRIMARY KEY (principal, key)
)";

pub(crate) async fn open(arguments: &Arguments) -> anyhow::Result<PgPool> {
    let pool = pool::open(arguments).await?;
    sqlx::query(TABLE).execute(&pool).await?;
    Ok(pool)
}

/// Looks the key up, and returns the answer to a request that is not the first.
pub(crate) async fn answer(
    connection: &mut PgConnection,
    keyed: &Keyed,
) -> anyhow::Result<Option<Response>> {
    let select = sqlx::query(
        "SELECT fingerprint, status, headers, body FROM requests \
         WHERE principal = $1 AND key = $2",
    );
    let bound = select.bind(&keyed.principal).bind(&keyed.key);
    let Some(row) = bound.fetch_optional(connection).await? else {
        return Ok(None);
    };
    let fingerprint: &[u8] = row.try_get(0)?;
    let is_same = fingerprint == keyed.fingerprint;
    let status: Option<i16> = row.try_get(1)?;
    let kept = match status {
        Some(status) => Some(Kept {
            status,
            headers: row.try_get(2)?,
            body: Bytes::from(row.try_get::<Vec<u8>, _>(3)?),
        }),
        None => None,
    };
    Kept::answer(kept, is_same).map(Some)
}

/// Inserts the key, and tells whether it was the first.
pub(crate) async fn insert(connection: &mut PgConnection, keyed: &Keyed) -> sqlx::Result<bool> {
    let insert = sqlx::query(
        "INSERT INTO requests (principal, key, fingerprint) VALUES ($1, $2, $3) \
         ON CONFLICT DO NOTHING",
    );
    let bound = insert.bind(&keyed.principal).bind(&keyed.key);
    let done = bound
        .bind(keyed.fingerprint.as_slice())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn update(
    connection: &mut PgConnection,
    keyed: &Keyed,
    kept: &Kept,
) -> sqlx::Result<()> {
    let update = sqlx::query(
        "UPDATE requests SET status = $3, headers = $4, body = $5 \
         WHERE principal = $1 AND key = $2",
    );
    let bound = update.bind(&keyed.principal).bind(&keyed.key);
    let bound = bound.bind(kept.status).bind(&kept.headers);
    bound
        .bind(kept.body.as_ref())
        .execute(connection)
        .await
        .map(drop)
}

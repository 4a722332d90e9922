//! Writing effects beside the records.

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool, postgres::PgArguments, query::Query,
    sqlite::SqliteArguments,
};
use tokio::time::timeout;

/// A statement that takes longer has an unknown outcome.
const BOUND: Duration = Duration::from_secs(2);

/// The database in which the effects are.
#[derive(Clone, Debug)]
pub(crate) enum Effects {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// What a handler leaves.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) operation: String,
    pub(crate) attempt: u32,
    pub(crate) execution: String,
}

impl Effects {
    /// Writes an effect in a statement of its own.
    pub(crate) async fn write(&self, effect: Effect) -> Result<()> {
        match self {
            Self::Postgres(pool) => in_time(in_postgres(effect).execute(pool)).await.map(drop),
            Self::Sqlite(pool) => in_time(in_sqlite(effect).execute(pool)).await.map(drop),
        }
    }
}

/// Prepares to write an effect in Postgres.
pub(crate) fn in_postgres(effect: Effect) -> Query<'static, Postgres, PgArguments> {
    let insert = "INSERT INTO chaos_effects (operation, attempt, execution) VALUES ($1, $2, $3)";
    sqlx::query(insert)
        .bind(effect.operation)
        .bind(i64::from(effect.attempt))
        .bind(effect.execution)
}

/// Prepares to write an effect in SQLite.
pub(crate) fn in_sqlite(effect: Effect) -> Query<'static, Sqlite, SqliteArguments> {
    let insert = "INSERT INTO chaos_effects (operation, attempt, execution) VALUES (?1, ?2, ?3)";
    sqlx::query(insert)
        .bind(effect.operation)
        .bind(i64::from(effect.attempt))
        .bind(effect.execution)
}

/// Waits for an answer of the database, within the bound.
pub(crate) async fn in_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
    let done = timeout(BOUND, work).await;
    done.context("no answer in time")?.context("no success")
}

//! Writing effects beside the records.

use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::{PgPool, SqlitePool};
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

pub(crate) const INSERT_POSTGRES: &str =
    "INSERT INTO chaos_effects (operation, attempt, execution) VALUES ($1, $2, $3)";
const INSERT_SQLITE: &str =
    "INSERT INTO chaos_effects (operation, attempt, execution) VALUES (?1, ?2, ?3)";

impl Effects {
    /// Writes an effect in a statement of its own.
    pub(crate) async fn write(&self, effect: &Effect) -> Result<()> {
        let attempt = i64::from(effect.attempt);
        let written = async {
            match self {
                Self::Postgres(pool) => sqlx::query(INSERT_POSTGRES)
                    .bind(&effect.operation)
                    .bind(attempt)
                    .bind(&effect.execution)
                    .execute(pool)
                    .await
                    .map(drop),
                Self::Sqlite(pool) => sqlx::query(INSERT_SQLITE)
                    .bind(&effect.operation)
                    .bind(attempt)
                    .bind(&effect.execution)
                    .execute(pool)
                    .await
                    .map(drop),
            }
        };
        let written = timeout(BOUND, written).await;
        written.context("no answer in time")?.context("no effect")
    }
}

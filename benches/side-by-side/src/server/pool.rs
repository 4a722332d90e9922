//! Pools of those who manage their connections by themselves.

use std::{str::FromStr, time::Duration};

use anyhow::{Context, Result};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::Arguments;

const PAYMENTS: &str = "CREATE TABLE IF NOT EXISTS payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    amount bigint NOT NULL,
    note text NOT NULL
)";

/// Opens a pool, and makes the table of the handlers' own rows.
pub(crate) async fn open(arguments: &Arguments) -> Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(arguments.pool)
        // All are there before the first request, and none is asked whether it still is.
        .min_connections(arguments.pool)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(PgConnectOptions::from_str(&arguments.database_url)?)
        .await
        .context("cannot connect")?;
    sqlx::query(PAYMENTS).execute(&pool).await?;
    Ok(pool)
}

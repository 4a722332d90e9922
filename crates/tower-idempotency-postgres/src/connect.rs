//! A pool on which no wait is unbounded.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tower_idempotency_core::StoreError;

use crate::{builder::OPERATION_TIMEOUT, error};

/// Shorter than the store's bound, so that the server gives up before the client does.
const LOCK_TIMEOUT: Duration = Duration::from_millis(2_000);
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(4_000);

/// How long a connection was idle that is tested before it is used: a round trip that a busy one
/// need not pay. If it broke in that time, the statement that finds out is run again, and the pauses
/// in between are such that the last tries meet no connection that was not tested.
const TESTED_AFTER: Duration = Duration::from_millis(50);

pub(crate) async fn pool(url: &str) -> Result<PgPool, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(error::store_error)?;
    pool_with(options).await
}

pub(crate) async fn pool_with(options: PgConnectOptions) -> Result<PgPool, StoreError> {
    let options = options.options([
        ("lock_timeout", LOCK_TIMEOUT.as_millis().to_string()),
        (
            "statement_timeout",
            STATEMENT_TIMEOUT.as_millis().to_string(),
        ),
    ]);
    PgPoolOptions::new()
        .acquire_timeout(OPERATION_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for >= TESTED_AFTER {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await
        .map_err(error::store_error)
}

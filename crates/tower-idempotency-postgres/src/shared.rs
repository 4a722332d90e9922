//! What the store and its executions share.

use std::{future::Future, sync::Arc, time::Duration};

use sqlx::{Postgres, postgres::PgArguments, query::Query};
use tokio::time::{sleep, timeout};
use tower_idempotency_core::{StoreError, StoreErrorKind};

use crate::{
    batch::Batches,
    connection::Connection,
    connections::Connections,
    error,
    pooling::Pooling,
    sabotage::Guard,
    sql::{Sql, Text},
};

/// How often a statement is tried that met a broken connection.
const TRIES: u32 = 4;

/// How often one is tried that met another transaction: among many that are serializable, none of
/// which is wrong, some have to give way several times. The store's bound comes first.
const TRIES_AMONG_OTHERS: u32 = 12;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connections: Connections,
    pub(crate) sql: Arc<Sql>,
    /// `None` if every operation goes by itself.
    pub(crate) batches: Option<Batches>,
    pub(crate) operation_timeout: Duration,
    pub(crate) pooling: Pooling,
    /// The guard that is left out, in tests.
    pub(crate) left_out: Option<Guard>,
}

impl Shared {
    /// The same, but claims do not wait for the disk.
    pub(crate) fn with_relaxed_claims(&self) -> Self {
        Self {
            connections: self.connections.clone(),
            sql: Arc::new(self.sql.with_relaxed_claims()),
            batches: self.batches.clone(),
            ..*self
        }
    }

    /// Runs `operation` within the store's bound, again if it met a fault that passes.
    ///
    /// Whatever is still running at the bound has an unknown outcome; the token in every
    /// statement makes it safe to ask again.
    pub(crate) async fn bounded<T, F>(&self, operation: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let tries = async {
            let mut tried = 0;
            loop {
                match operation().await {
                    Err(error) if error::is_passing(&error) && tried + 1 < tries_for(&error) => {
                        tried += 1;
                        tracing::debug!(tried, "a statement is tried again");
                        // Rarely, so not within the future that every request has on the heap.
                        Box::pin(sleep(pause(tried))).await;
                    }
                    result => return result.map_err(error::store_error),
                }
            }
        };
        timeout(self.operation_timeout, tries)
            .await
            .unwrap_or_else(|_| Err(StoreErrorKind::Timeout.into()))
    }

    /// Takes a connection for one operation.
    pub(crate) async fn begin(&self) -> sqlx::Result<Connection> {
        Connection::begin(&self.connections, self.pooling).await
    }

    /// Prepares a statement, under a name where that is safe.
    pub(crate) fn query(&self, text: &Text) -> Query<'static, Postgres, PgArguments> {
        sqlx::query(text.clone()).persistent(!self.pooling.needs_transactions())
    }
}

fn tries_for(error: &sqlx::Error) -> u32 {
    if error::is_conflict(error) {
        TRIES_AMONG_OTHERS
    } else {
        TRIES
    }
}

/// Grows from a few milliseconds, with jitter so that those who met do not meet again.
fn pause(tried: u32) -> Duration {
    let longest = Duration::from_millis(10) * 4_u32.pow(tried.min(3));
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

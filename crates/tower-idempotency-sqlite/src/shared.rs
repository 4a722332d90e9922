//! What the store and its executions share.

use std::{future::Future, time::Duration};

use sqlx::SqlitePool;
use tokio::time::{sleep, timeout};
use tower_idempotency_core::{StoreError, StoreErrorKind};

use crate::{
    batch::Batches,
    error,
    operation::{Answer, Operation},
};

/// Two pools on one file: SQLite lets any number read, and one write.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) readers: SqlitePool,
    /// One connection, so that writers queue here and not in SQLite's busy loop.
    pub(crate) writer: SqlitePool,
    /// Share the writer; `None` if each operation commits by itself.
    pub(crate) batches: Option<Batches>,
    pub(crate) operation_timeout: Duration,
}

impl Shared {
    /// Changes a record.
    pub(crate) async fn write(&self, operation: Operation) -> sqlx::Result<Answer> {
        match &self.batches {
            Some(batches) => batches.run(operation).await,
            None => operation.run(&mut *self.writer.acquire().await?).await,
        }
    }

    /// Runs `operation` within the store's bound.
    ///
    /// SQLite waits for locks by itself, but for one case: a read whose snapshot is too old to be
    /// written on. And a batch may have waited longer than an operation in it. Trying again is
    /// safe: each statement names the token that it made, saw or owns.
    pub(crate) async fn bounded<T, F>(&self, operation: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = sqlx::Result<T>>,
    {
        let tries = async {
            let mut tried = 0;
            loop {
                match operation().await {
                    Err(error) if error::is_passing(&error) && tried < 3 => {
                        tried += 1;
                        sleep(Duration::from_millis(5).mul_f64(fastrand::f64())).await;
                    }
                    result => return result.map_err(error::store_error),
                }
            }
        };
        timeout(self.operation_timeout, tries)
            .await
            .unwrap_or_else(|_| Err(StoreErrorKind::Timeout.into()))
    }
}

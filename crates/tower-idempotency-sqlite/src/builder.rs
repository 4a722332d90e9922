use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tower_idempotency_core::{ConfigError, StoreError, StoreErrorKind};

use crate::{SqliteStore, open};

/// Sets up a [`SqliteStore`].
///
/// # Example
///
/// ```no_run
/// use std::time::Duration;
/// use tower_idempotency_sqlite::SqliteStore;
///
/// # async fn example() -> Result<(), tower_idempotency_core::StoreError> {
/// let store = SqliteStore::builder("app.db")
///     .operation_timeout(Duration::from_secs(2))
///     .open()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `open` to get the store"]
pub struct SqliteStoreBuilder {
    pub(crate) path: PathBuf,
    pub(crate) operation_timeout: Duration,
    pub(crate) readers: u32,
    pub(crate) flushes: bool,
    pub(crate) batching: bool,
    pub(crate) max_queued_claims: usize,
}

impl SqliteStoreBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            operation_timeout: Duration::from_secs(5),
            readers: 4,
            flushes: true,
            batching: true,
            max_queued_claims: 16_384,
        }
    }

    /// Bounds every verb, waiting for other writers included. Default: 5 s.
    ///
    /// A request whose claim takes longer is answered 503.
    /// Choose less than a third of the lease: a renewal that waits longer costs the lease.
    pub const fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// Reads on so many connections. Default: 4. Each has a thread of its own.
    pub const fn readers(mut self, readers: u32) -> Self {
        self.readers = readers;
        self
    }

    /// Says whether claims, completions, renewals and releases that are in flight together share a
    /// commit. Default: they do.
    ///
    /// Nobody waits for company: a batch is what arrived while the one before it was written, and
    /// a lone operation goes at once. Every answer still comes after its commit. Without batches,
    /// each operation waits for the disk by itself, and for everybody before it.
    pub const fn batching(mut self, batching: bool) -> Self {
        self.batching = batching;
        self
    }

    /// Bounds how many claims wait for a batch. Default: 16,384.
    ///
    /// One more is refused at once, as by a store that is full: the request is answered 503.
    /// Completions, renewals and releases wait besides; there are no more of them than executions.
    ///
    /// A claim takes about a kilobyte. Choose what the disk can take within
    /// [`operation_timeout`](Self::operation_timeout): those behind it would time out anyway,
    /// and keep others waiting.
    pub const fn max_queued_claims(mut self, claims: usize) -> Self {
        self.max_queued_claims = claims;
        self
    }

    /// Does not wait for the disk at every commit (`synchronous = NORMAL`).
    ///
    /// Several times faster, and after a **power failure** the last claims and responses may be
    /// forgotten, so that their requests run again. A crash of the process forgets nothing.
    pub const fn danger_forget_at_power_failure(mut self) -> Self {
        self.flushes = false;
        self
    }

    /// Opens the file, creates it if it is not there, and creates the table in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the settings cannot work (with a [`ConfigError`] as its source), or the
    /// file cannot be opened, or is no database.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the file with or without the table.
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        self.validate()
            .map_err(|error| StoreError::new(StoreErrorKind::Internal, error))?;
        open::open(self).await
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let path = self.path.to_string_lossy();
        if path.is_empty() || path.contains(":memory:") || path.contains("mode=memory") {
            let must = "must be a file; use `MemoryStore` of tower-idempotency-memory otherwise";
            return Err(ConfigError::new("path", format!("{path:?}"), must));
        }
        let bounds = Duration::from_millis(10)..=Duration::from_secs(60);
        if !bounds.contains(&self.operation_timeout) {
            let value = format!("{:?}", self.operation_timeout);
            let must = "must be between 10ms and 60s";
            return Err(ConfigError::new("operation_timeout", value, must));
        }
        if self.readers == 0 {
            return Err(ConfigError::new("readers", "0", "must be at least 1"));
        }
        Ok(())
    }
}

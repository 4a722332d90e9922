use std::{fmt, path::Path, sync::Arc};

use sqlx::SqlitePool;
use tower_idempotency_core::{
    Claim, ClaimRequest, ListPage, Record, RecordId, RecordInfo, RecordState, Resolution, Resolved,
    Store, StoreError, StoreLimits, Swept,
};

use crate::{SqliteExecution, SqliteStoreBuilder, claim, resolve, row, shared::Shared, sql};

/// SQLite holds a gigabyte in a column. This leaves room, and memory.
const MAX_RESPONSE_BYTES: u64 = 256 * 1024 * 1024;

/// The store in a SQLite file.
///
/// See the [crate docs](crate). Cloning is cheap, and clones share the connections.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

impl SqliteStore {
    /// Opens the file at `path` with the default settings; it and its table are created if they
    /// are not there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be opened or is no database.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the file with or without the table.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// Starts to set up a store in the file at `path`.
    pub fn builder(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::new(path.as_ref())
    }

    pub(crate) fn with(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Returns the SQL that [`open`](Self::open) runs, for your own migration tool.
    #[must_use]
    pub const fn migrations_sql() -> &'static str {
        sql::MIGRATIONS
    }

    /// Returns the pool whose one connection writes.
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.shared.writer
    }

    async fn lookup_once(&self, id: &RecordId) -> sqlx::Result<Option<Record>> {
        let found = sqlx::query(sql::LOOKUP)
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&self.shared.readers)
            .await?;
        found.as_ref().map(row::record).transpose()
    }

    async fn list_once(&self, page: &ListPage) -> sqlx::Result<Vec<RecordInfo>> {
        let after = page.after.as_ref().map_or(&[][..], |id| id.as_bytes());
        let rows = sqlx::query(sql::LIST)
            .bind(after)
            .bind(page.state.map(RecordState::as_str))
            .bind(page.limit)
            .fetch_all(&self.shared.readers)
            .await?;
        rows.iter().map(row::info).collect()
    }

    async fn sweep_once(&self, limit: u32) -> sqlx::Result<Swept> {
        let deleted = sqlx::query(sql::SWEEP)
            .bind(limit)
            .execute(&self.shared.writer)
            .await?
            .rows_affected();
        Ok(Swept::new(
            deleted,
            limit > 0 && deleted == u64::from(limit),
        ))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("operation_timeout", &self.shared.operation_timeout)
            .finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    type Execution = SqliteExecution;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<SqliteExecution>, StoreError> {
        let owned = Arc::new(request.clone());
        let claim = self
            .shared
            .bounded(|| claim::claim(&self.shared, &owned))
            .await?;
        Ok(claim.map(|attempt| SqliteExecution::new(Arc::clone(&self.shared), request, attempt)))
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.shared.bounded(|| self.lookup_once(id)).await
    }

    async fn list(&self, page: &ListPage) -> Result<Vec<RecordInfo>, StoreError> {
        self.shared.bounded(|| self.list_once(page)).await
    }

    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError> {
        self.shared.bounded(|| self.sweep_once(limit)).await
    }

    async fn ended(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
        let shared = &self.shared;
        shared.bounded(|| resolve::ended(shared, ids)).await
    }

    async fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        let shared = &self.shared;
        shared
            .bounded(|| resolve::resolve(shared, id, resolution))
            .await
    }

    fn limits(&self) -> StoreLimits {
        StoreLimits::new(MAX_RESPONSE_BYTES)
    }
}

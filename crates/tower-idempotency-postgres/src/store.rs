use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use sqlx::{PgPool, Row, postgres::PgConnectOptions};
use tokio::time::timeout;
use tower_idempotency_core::{
    Claim, ClaimRequest, ListPage, Record, RecordId, RecordInfo, RecordState, Resolution, Resolved,
    Store, StoreError, StoreErrorKind, StoreLimits, Swept,
};

use crate::{
    Pooling, PostgresExecution, PostgresStoreBuilder, claim, connect, migrate, pooling, resolve,
    row, shared::Shared,
};

/// How far the sweep of a backlog has come, in microseconds since 1970.
///
/// Another process may sweep as well, from the front: then neither passes by the other's part.
#[derive(Debug, Default)]
struct SweptTo(AtomicI64);

impl SweptTo {
    fn get(&self) -> Option<i64> {
        // It says nothing of other memory.
        Some(self.0.load(Ordering::Relaxed)).filter(|&reached| reached != 0)
    }

    fn set(&self, reached: Option<i64>) {
        self.0.store(reached.unwrap_or(0), Ordering::Relaxed);
    }
}

/// A `bytea` holds a gigabyte; a message to the server not much more. This leaves room.
const MAX_RESPONSE_BYTES: u64 = 256 * 1024 * 1024;

/// The store in Postgres.
///
/// See the [crate docs](crate). Cloning is cheap, and clones share the pool.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    swept_to: Arc<SweptTo>,
    migrations: Arc<str>,
}

impl PostgresStore {
    /// Uses `pool`, with the default settings.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        PostgresStoreBuilder::new(pool).make()
    }

    /// Starts to set up a store on `pool`.
    pub fn builder(pool: PgPool) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(pool)
    }

    /// Connects with a pool of the store's own, made so that no wait is unbounded on the
    /// server's side either.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if `url` cannot be understood or the server cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what it has opened.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::checked(connect::pool(url).await?).await
    }

    /// As [`connect`](Self::connect), with options that were put together in code.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what it has opened.
    pub async fn connect_with(options: PgConnectOptions) -> Result<Self, StoreError> {
        Self::checked(connect::pool_with(options).await?).await
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    async fn checked(pool: PgPool) -> Result<Self, StoreError> {
        // Its hook finds out what the test of a connection that goes from hand to hand would.
        let store = PostgresStoreBuilder::new(pool)
            .pass_connections_on(true)
            .make();
        store.check().await?;
        Ok(store)
    }

    /// Finds out whether the store can work with what lies between it and the server:
    /// with [`Pooling::Session`](crate::Pooling::Session), whether there is a pooler that gives
    /// each transaction another connection.
    ///
    /// It opens two connections of its own, for a moment. [`connect`](Self::connect) and
    /// [`migrate`](Self::migrate) do it by themselves; call it at the start where you use neither.
    ///
    /// # Errors
    ///
    /// [`StoreError`], with what to do as its source; or if the server cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what it has opened.
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.shared.pooling != Pooling::Session {
            return Ok(());
        }
        let options = self.pool().connect_options();
        let check = pooling::refuse_transaction_pooling(&options);
        let bound = self.shared.operation_timeout;
        timeout(bound, check)
            .await
            .unwrap_or_else(|_| Err(StoreErrorKind::Timeout.into()))
    }

    pub(crate) fn with_shared(self, shared: Arc<Shared>) -> Self {
        Self { shared, ..self }
    }

    pub(crate) fn with(shared: Shared, migrations: String) -> Self {
        Self {
            shared: Arc::new(shared),
            swept_to: Arc::default(),
            migrations: Arc::from(migrations),
        }
    }

    /// Creates the table and its index, if they are not there.
    ///
    /// It is safe to run at every start, by many processes at once, beside running ones:
    /// all of it is one transaction, and one process at a time runs it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if any statement fails; nothing has changed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the schema migrated or as it was.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.check().await?;
        migrate::migrate(&self.shared, &self.migrations).await
    }

    /// Returns the SQL that [`migrate`](Self::migrate) runs, for your own migration tool.
    #[must_use]
    pub fn migrations_sql(&self) -> &str {
        &self.migrations
    }

    /// Returns the pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.shared.connections.pool
    }

    async fn lookup_once(&self, id: &RecordId) -> sqlx::Result<Option<Record>> {
        let mut connection = self.shared.begin().await?;
        let found = self
            .shared
            .query(&self.shared.sql.lookup)
            .bind(id.as_bytes().as_slice())
            .fetch_optional(&mut *connection)
            .await;
        let found = connection.finish(found).await?;
        found.as_ref().map(row::record).transpose()
    }

    async fn list_once(&self, page: &ListPage) -> sqlx::Result<Vec<RecordInfo>> {
        let mut connection = self.shared.begin().await?;
        let after = page.after.as_ref().map_or(&[][..], |id| id.as_bytes());
        let rows = self
            .shared
            .query(&self.shared.sql.list)
            .bind(after)
            .bind(page.state.map(RecordState::as_str))
            .bind(i64::from(page.limit))
            .fetch_all(&mut *connection)
            .await;
        let rows = connection.finish(rows).await?;
        rows.iter().map(row::info).collect()
    }

    /// What a batch passed by, because it was held or expires soon, is looked at again when one
    /// begins at the front.
    async fn sweep_once(&self, limit: u32) -> sqlx::Result<Swept> {
        let mut connection = self.shared.begin().await?;
        let begin = self.swept_to.get();
        let swept = async {
            let sweep = self.shared.query(&self.shared.sql.sweep);
            let row = sweep
                .bind(i64::from(limit))
                .bind(begin)
                .fetch_one(&mut *connection)
                .await?;
            let deleted = row::count(&row, "deleted")?;
            let is_full = limit > 0 && row::count(&row, "due")? == u64::from(limit);
            let reached: Option<i64> = row.try_get("reached")?;
            // A batch whose records are all of one moment, and have to stay, would come again.
            let more = is_full && (deleted > 0 || reached != begin);
            self.swept_to.set(reached.filter(|_| more));
            Ok(Swept::new(deleted, more))
        }
        .await;
        connection.finish(swept).await
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("operation_timeout", &self.shared.operation_timeout)
            .finish_non_exhaustive()
    }
}

impl Store for PostgresStore {
    type Execution = PostgresExecution;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<PostgresExecution>, StoreError> {
        let owned = Arc::new(request.clone());
        let claim = self
            .shared
            .bounded(|| claim::claim(&self.shared, &owned))
            .await?;
        Ok(claim.map(|begun| PostgresExecution::new(Arc::clone(&self.shared), request, begun)))
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        Box::pin(self.shared.bounded(|| self.lookup_once(id))).await
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

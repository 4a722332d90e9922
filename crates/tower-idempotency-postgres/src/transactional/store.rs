use std::{fmt, sync::Arc};

use tower_idempotency_core::{
    Claim, ClaimRequest, ListPage, Record, RecordId, RecordInfo, Resolution, Resolved, Store,
    StoreError, StoreLimits, Swept,
};

use super::{builder::TransactionalStoreBuilder, claim, execution::TransactionExecution};
use crate::{PostgresStore, shared::Shared, sql::Text};

/// The store in Postgres, where the layer hands the handler the transaction.
///
/// A claim begins a transaction and takes the key's advisory lock in it; nothing is written.
/// The handler writes through [`Tx`](crate::Tx); its response is kept in the same transaction, and
/// one commit makes both durable. So for every key there are the effects of exactly one execution
/// and its record, or neither, whatever dies at whatever moment.
///
/// # What to know
///
/// - A connection is held while a handler runs: size the pool for the requests that run at the
///   same time. A duplicate needs one for a moment, and never waits for a lock.
/// - There is no lease and no heartbeat. When a process dies, its connection breaks and the key is
///   free at once; one that is stopped or cut off is ended by the server after
///   [`stall_timeout`](TransactionalStoreBuilder::stall_timeout).
/// - While a request runs there is no record of it: it is not listed, and a duplicate with another
///   fingerprint is told that the key is in progress rather than used.
/// - The layer's crash policy does not matter: a transaction that was not committed did nothing.
/// - `Tx` is for effects in this database. For others see `Idempotency::step`, which needs a
///   second connection for a moment. So does anything else that a handler does in this database
///   beside its `Tx`: where as many handlers run as there are connections, in the pool or behind a
///   pooler, they wait for each other in vain.
#[derive(Clone)]
pub struct TransactionalStore {
    store: PostgresStore,
    transactional: Arc<Transactional>,
}

/// What the store and its executions share.
#[derive(Debug)]
pub(crate) struct Transactional {
    pub(crate) shared: Arc<Shared>,
    /// What every transaction begins with.
    pub(crate) begin: &'static str,
    /// What it does then.
    pub(crate) lock_and_look: Text,
}

impl PostgresStore {
    /// Hands handlers the transaction in which their response is kept, with the default settings.
    #[must_use]
    pub fn transactional(self) -> TransactionalStore {
        self.transactional_builder().make()
    }

    /// Starts to set up the transactional mode.
    pub fn transactional_builder(self) -> TransactionalStoreBuilder {
        TransactionalStoreBuilder::new(self)
    }
}

impl TransactionalStore {
    pub(crate) fn with(store: PostgresStore, transactional: Arc<Transactional>) -> Self {
        Self {
            store,
            transactional,
        }
    }

    /// Returns the store that holds the records.
    #[must_use]
    pub const fn store(&self) -> &PostgresStore {
        &self.store
    }
}

impl fmt::Debug for TransactionalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalStore")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Store for TransactionalStore {
    type Execution = TransactionExecution;

    async fn claim(
        &self,
        request: &ClaimRequest,
    ) -> Result<Claim<TransactionExecution>, StoreError> {
        claim::claim(&self.transactional, request).await
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.store.lookup(id).await
    }

    async fn list(&self, page: &ListPage) -> Result<Vec<RecordInfo>, StoreError> {
        self.store.list(page).await
    }

    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError> {
        self.store.sweep(limit).await
    }

    async fn ended(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
        let shared = &self.transactional.shared;
        shared.bounded(|| claim::ended(shared, ids)).await
    }

    async fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        self.store.resolve(id, resolution).await
    }

    fn limits(&self) -> StoreLimits {
        self.store.limits()
    }
}

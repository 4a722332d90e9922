use std::fmt;

use tower_idempotency_core::{
    Claim, ClaimRequest, ListPage, Record, RecordId, RecordInfo, Resolution, Resolved, Store,
    StoreError, StoreLimits, Swept,
};

use super::execution::TransactionalExecution;
use crate::SqliteStore;

/// The store in a SQLite file, where the layer hands the handler the transaction.
///
/// A claim is a lease, as in [`SqliteStore`]. When the handler asks for [`Tx`](crate::Tx), a
/// transaction begins; its effects and the response are committed together, if the lease is still
/// the handler's. So for every key there are the effects of exactly one execution and its record,
/// or neither, whatever dies at whatever moment.
///
/// # What to know
///
/// - SQLite has one writer. From its first use of `Tx` to its end, a handler keeps everybody else
///   from writing: other keys cannot be claimed meanwhile, and wait for at most the store's
///   [`operation_timeout`](crate::SqliteStoreBuilder::operation_timeout), after which they are
///   answered 503. Duplicates and replays go on, since they only read.
/// - The results of steps (`Idempotency::step`) are writes, too: take all steps before `Tx`.
/// - A process that dies leaves its lease behind, as in the leased mode: the key is free when the
///   lease is over. What it had written through `Tx` is gone at once.
#[derive(Clone)]
pub struct TransactionalStore(SqliteStore);

impl SqliteStore {
    /// Hands handlers the transaction in which their response is kept.
    #[must_use]
    pub fn transactional(self) -> TransactionalStore {
        TransactionalStore(self)
    }
}

impl TransactionalStore {
    /// Returns the store that holds the records.
    #[must_use]
    pub const fn store(&self) -> &SqliteStore {
        &self.0
    }
}

impl fmt::Debug for TransactionalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransactionalStore").field(&self.0).finish()
    }
}

impl Store for TransactionalStore {
    type Execution = TransactionalExecution;

    async fn claim(
        &self,
        request: &ClaimRequest,
    ) -> Result<Claim<TransactionalExecution>, StoreError> {
        let claim = self.0.claim(request).await?;
        Ok(claim.map(|lease| TransactionalExecution::new(self.0.shared(), lease)))
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.0.lookup(id).await
    }

    async fn list(&self, page: &ListPage) -> Result<Vec<RecordInfo>, StoreError> {
        self.0.list(page).await
    }

    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError> {
        self.0.sweep(limit).await
    }

    async fn ended(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
        self.0.ended(ids).await
    }

    async fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        self.0.resolve(id, resolution).await
    }

    fn limits(&self) -> StoreLimits {
        self.0.limits()
    }
}

use std::fmt;

use tower_idempotency_core::{
    Claim, ClaimRequest, ListPage, Record, RecordId, RecordInfo, Resolution, Resolved, Store,
    StoreError, StoreLimits, Swept,
};

use super::execution::FencedExecution;
use crate::PostgresStore;

/// The store in Postgres for handlers that keep their response in a transaction of their own, with
/// `Idempotency::complete_and_commit` or `complete_in`.
///
/// It is the [`PostgresStore`] that does not let anybody forget it: a response that says success
/// (2xx or 3xx) is kept in the handler's transaction or not at all. A handler that answers so
/// without `complete_in` gets a 500 with the code `NOT_COMPLETED_IN_TRANSACTION` in its place,
/// which is kept, so that what it may have done is not done again.
/// Refusals are kept as always: there is no effect to protect.
///
/// Since nothing counts that the fence has not let through, its claims need not be durable before
/// the handler runs: see [`ClaimDurability`](crate::ClaimDurability).
#[derive(Clone)]
pub struct FencedStore {
    store: PostgresStore,
}

impl FencedStore {
    pub(crate) const fn with(store: PostgresStore) -> Self {
        Self { store }
    }
}

impl fmt::Debug for FencedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FencedStore")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Store for FencedStore {
    type Execution = FencedExecution;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<FencedExecution>, StoreError> {
        let claim = self.store.claim(request).await?;
        Ok(claim.map(FencedExecution::new))
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
        self.store.ended(ids).await
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

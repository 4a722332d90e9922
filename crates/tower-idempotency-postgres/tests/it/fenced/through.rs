//! The fenced store with a handler around each execution, which completes it in a transaction.

use std::time::Duration;

use http::Extensions;
use sqlx::PgPool;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Completed, Execution, FencedTransaction, ListPage, Record,
    RecordId, RecordInfo, Release, Renewal, Resolution, Resolved, Settled, Standing, StepJournal,
    Store, StoreError, StoreErrorKind, StoreLimits, Swept,
};
use tower_idempotency_postgres::{FencedExecution, FencedStore, PostgresFence};
use tower_idempotency_testkit::Harness;

use crate::support::Postgres;

pub(crate) struct Through {
    pub(crate) postgres: Postgres,
    pub(crate) store: ThroughStore,
}

pub(crate) struct ThroughStore {
    pub(crate) store: FencedStore,
    pub(crate) pool: PgPool,
}

pub(crate) struct ThroughExecution {
    pub(crate) execution: FencedExecution,
    pool: PgPool,
}

pub(crate) fn fence(execution: &mut FencedExecution) -> PostgresFence {
    let mut extensions = Extensions::new();
    execution.install(&mut extensions);
    extensions.get::<PostgresFence>().unwrap().clone()
}

impl Harness for Through {
    type Store = ThroughStore;

    fn store(&self) -> &ThroughStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        self.postgres.advance(by).await;
    }

    async fn damage(&self, id: &RecordId) -> bool {
        self.postgres.damage(id).await
    }
}

impl ThroughExecution {
    async fn complete_in_a_transaction(
        &mut self,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        let broken = |error| StoreError::new(StoreErrorKind::Unavailable, error);
        let mut transaction = self.pool.begin().await.map_err(broken)?;
        let fence = fence(&mut self.execution);
        let kept = FencedTransaction::complete(&mut transaction, &fence, completed);
        if kept.await? == Settled::Applied {
            transaction.commit().await.map_err(broken)?;
            return Ok(Settled::Applied);
        }
        // As the layer does: the store knows whether an earlier try was committed.
        Ok(match self.execution.standing().await? {
            Standing::Completed => Settled::Applied,
            Standing::InProgress | Standing::Lost => Settled::Stale,
        })
    }
}

impl Execution for ThroughExecution {
    fn attempt(&self) -> Attempt {
        self.execution.attempt()
    }

    fn install(&mut self, extensions: &mut Extensions) {
        self.execution.install(extensions);
    }

    fn steps(&self) -> StepJournal {
        self.execution.steps()
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        self.execution.standing().await
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        self.execution.renew().await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        match self.execution.complete(completed).await {
            Err(error) if error.kind() == StoreErrorKind::Unfenced => {
                self.complete_in_a_transaction(completed).await
            }
            kept => kept,
        }
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        self.execution.release(release).await
    }
}

impl Store for ThroughStore {
    type Execution = ThroughExecution;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<ThroughExecution>, StoreError> {
        let claim = self.store.claim(request).await?;
        Ok(claim.map(|execution| ThroughExecution {
            execution,
            pool: self.pool.clone(),
        }))
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

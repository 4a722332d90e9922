//! A store that writes down what is asked of it and what it answers.

use std::{fmt::Debug, sync::Arc};

use chaos::{CallResult, Verb};
use http::Extensions;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Completed, Execution, ListPage, Record, RecordId, RecordInfo,
    Release, Renewal, Resolution, Resolved, Settled, Standing, StepJournal, Store, StoreError,
    StoreLimits, Swept,
};

use crate::notes::{Identity, Notes};

/// Wraps a store.
#[derive(Clone, Debug)]
pub(crate) struct Recording<St> {
    store: St,
    notes: Arc<Notes>,
}

impl<St> Recording<St> {
    pub(crate) const fn new(store: St, notes: Arc<Notes>) -> Self {
        Self { store, notes }
    }
}

impl<St: Store> Store for Recording<St> {
    type Execution = RecordingExecution<St::Execution>;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<Self::Execution>, StoreError> {
        let identity = Identity {
            key: request.key.as_str().to_owned(),
            token: request.token.as_uuid().simple().to_string(),
        };
        let claim = self.store.claim(request);
        let claim = self
            .notes
            .call(Verb::Claim, &identity, claim, |claim| match claim {
                Ok(Claim::Acquired(execution)) => CallResult::Acquired {
                    attempt: execution.attempt().number,
                    takeover: execution.attempt().takeover,
                },
                Ok(Claim::InProgress { .. }) => CallResult::InProgress,
                Ok(Claim::Completed(_)) => CallResult::Completed,
                Ok(Claim::Mismatch) => CallResult::Mismatch,
                Ok(Claim::OutcomeUnknown) => CallResult::OutcomeUnknown,
                Ok(Claim::Exhausted) => CallResult::Exhausted,
                Err(error) => failed(error),
            });
        let claim = claim.await?;
        Ok(claim.map(|execution| RecordingExecution {
            execution,
            notes: Arc::clone(&self.notes),
            identity,
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

/// Wraps an execution.
#[derive(Debug)]
pub(crate) struct RecordingExecution<E> {
    execution: E,
    notes: Arc<Notes>,
    identity: Identity,
}

impl<E: Execution> Execution for RecordingExecution<E> {
    fn attempt(&self) -> Attempt {
        self.execution.attempt()
    }

    fn install(&mut self, extensions: &mut Extensions) {
        extensions.insert(self.identity.clone());
        self.execution.install(extensions);
    }

    fn steps(&self) -> StepJournal {
        self.execution.steps()
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        self.execution.standing().await
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        let renew = self.execution.renew();
        let notes = &self.notes;
        let renewal = notes.call(
            Verb::Renew,
            &self.identity,
            renew,
            |renewal| match renewal {
                Ok(Renewal::Renewed) => CallResult::Renewed,
                Ok(Renewal::Lost) => CallResult::Lost,
                Err(error) => failed(error),
            },
        );
        renewal.await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        let complete = self.execution.complete(completed);
        let notes = &self.notes;
        notes
            .call(Verb::Complete, &self.identity, complete, settled)
            .await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        let release = self.execution.release(release);
        let notes = &self.notes;
        notes
            .call(Verb::Release, &self.identity, release, settled)
            .await
    }
}

fn settled(settled: &Result<Settled, StoreError>) -> CallResult {
    match settled {
        Ok(Settled::Applied) => CallResult::Applied,
        Ok(Settled::Stale) => CallResult::Stale,
        Err(error) => failed(error),
    }
}

fn failed(error: &StoreError) -> CallResult {
    CallResult::Failed {
        kind: format!("{:?}", error.kind()),
    }
}

use std::{fmt, sync::Arc};

use http::Extensions;
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, LeaseToken, RecordId, RecordState, Release,
    Renewal, Retention, Settled, Standing, StepJournal, StoreError,
};

use crate::{
    fence::SqliteFence,
    operation::{Answer, Change, End, Operation},
    resolve,
    shared::Shared,
    sql,
    steps::SqliteSteps,
};

/// Names one execution to every statement that must be its owner's.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: RecordId,
    pub(crate) token: LeaseToken,
}

/// The lease on a record of a [`SqliteStore`](crate::SqliteStore).
pub struct SqliteExecution {
    owner: Owner,
    attempt: Attempt,
    lease_ms: Option<i64>,
    abandoned_ms: Option<i64>,
    failed_ms: Option<i64>,
}

impl SqliteExecution {
    pub(crate) fn new(shared: Arc<Shared>, request: &ClaimRequest, attempt: Attempt) -> Self {
        Self {
            owner: Owner {
                shared,
                id: request.id,
                token: request.token,
            },
            attempt,
            lease_ms: Retention::For(request.lease).milliseconds(),
            abandoned_ms: request.abandoned_retention().milliseconds(),
            failed_ms: request.failed_retention.milliseconds(),
        }
    }

    pub(crate) fn fence(&self) -> SqliteFence {
        SqliteFence(self.owner.clone())
    }

    /// Changes the record; returns whether it did. If not, it is another's.
    async fn end(&self, change: Change) -> sqlx::Result<bool> {
        let end = Operation::End(End {
            id: self.owner.id,
            token: self.owner.token,
            change,
        });
        let answer = self.owner.shared.write(end).await?;
        Ok(matches!(answer, Answer::Changed))
    }

    async fn renew_once(&self) -> sqlx::Result<Renewal> {
        let renew = Change::Renew {
            lease_ms: self.lease_ms,
            abandoned_ms: self.abandoned_ms,
        };
        Ok(if self.end(renew).await? {
            Renewal::Renewed
        } else {
            Renewal::Lost
        })
    }

    async fn complete_once(&self, completed: &Arc<Completed>) -> sqlx::Result<Settled> {
        let done = self.end(Change::Complete(Arc::clone(completed))).await?;
        self.settled(done, RecordState::Completed).await
    }

    async fn release_once(&self, release: &Release) -> sqlx::Result<Settled> {
        let change = match release {
            Release::Failed(failure) => Change::Fail {
                kept_ms: self.failed_ms,
                failure: failure.clone(),
            },
            Release::Free => Change::Free,
        };
        let done = self.end(change).await?;
        if !done && *release == Release::Free {
            // An earlier try may have done it: a key that is free is as asked.
            return Ok(
                match resolve::find(&self.owner.shared, &self.owner.id).await? {
                    None => Settled::Applied,
                    Some(_) => Settled::Stale,
                },
            );
        }
        self.settled(done, RecordState::Failed).await
    }

    /// Reads the result of a statement that was to bring the record into `state`.
    ///
    /// If it changed nothing, an earlier try whose acknowledgement was lost may have.
    async fn settled(&self, done: bool, state: RecordState) -> sqlx::Result<Settled> {
        if done || self.state().await?.as_deref() == Some(state.as_str()) {
            Ok(Settled::Applied)
        } else {
            Ok(Settled::Stale)
        }
    }

    /// Says where this execution's record is; `None` if it is no longer this execution's.
    async fn state(&self) -> sqlx::Result<Option<String>> {
        sqlx::query_scalar(sql::STATE_OF)
            .bind(self.owner.id.as_bytes().as_slice())
            .bind(self.owner.token.as_bytes().as_slice())
            .fetch_optional(&self.owner.shared.readers)
            .await
    }
}

impl fmt::Debug for SqliteExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteExecution")
            .field("id", &self.owner.id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Execution for SqliteExecution {
    fn attempt(&self) -> Attempt {
        self.attempt
    }

    fn install(&mut self, extensions: &mut Extensions) {
        extensions.insert(self.fence());
    }

    fn steps(&self) -> StepJournal {
        StepJournal::new(Arc::new(SqliteSteps(self.owner.clone())))
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        let state = self.owner.shared.bounded(|| self.state()).await?;
        Ok(Standing::of(state.as_deref()))
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        self.owner.shared.bounded(|| self.renew_once()).await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        let completed = Arc::new(completed.clone());
        self.owner
            .shared
            .bounded(|| self.complete_once(&completed))
            .await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        self.owner
            .shared
            .bounded(|| self.release_once(release))
            .await
    }
}

use std::{fmt, sync::Arc};

use http::Extensions;
use sqlx::{
    Sqlite,
    query::Query,
    sqlite::{SqliteArguments, SqliteQueryResult},
};
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, LeaseToken, RecordId, RecordState, Release,
    Renewal, Retention, Settled, Standing, StepJournal, StoreError,
};

use crate::{fence::SqliteFence, resolve, shared::Shared, sql, steps::SqliteSteps};

/// Names one execution to every statement that must be its owner's.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: RecordId,
    pub(crate) token: LeaseToken,
}

/// Keeps a response, if the owner still is.
pub(crate) fn complete<'q>(
    owner: &'q Owner,
    completed: &'q Completed,
) -> Query<'q, Sqlite, SqliteArguments> {
    let response = &completed.response;
    sqlx::query(sql::COMPLETE)
        .bind(owner.id.as_bytes().as_slice())
        .bind(owner.token.as_bytes().as_slice())
        .bind(completed.retention.milliseconds())
        .bind(response.status().as_u16())
        .bind(response.head())
        .bind(response.body().map(AsRef::<[u8]>::as_ref))
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

    async fn renew_once(&self) -> sqlx::Result<Renewal> {
        let renewed = sqlx::query(sql::RENEW)
            .bind(self.owner.id.as_bytes().as_slice())
            .bind(self.owner.token.as_bytes().as_slice())
            .bind(self.lease_ms)
            .bind(self.abandoned_ms)
            .execute(&self.owner.shared.writer)
            .await?;
        Ok(if renewed.rows_affected() == 1 {
            Renewal::Renewed
        } else {
            Renewal::Lost
        })
    }

    async fn complete_once(&self, completed: &Completed) -> sqlx::Result<Settled> {
        let done = complete(&self.owner, completed)
            .execute(&self.owner.shared.writer)
            .await?;
        self.settled(&done, RecordState::Completed).await
    }

    async fn release_once(&self, release: &Release) -> sqlx::Result<Settled> {
        let query = match release {
            Release::Failed(failure) => sqlx::query(sql::FAIL)
                .bind(self.owner.id.as_bytes().as_slice())
                .bind(self.owner.token.as_bytes().as_slice())
                .bind(self.failed_ms)
                .bind(failure.category.as_str())
                .bind(&*failure.error),
            Release::Free => sqlx::query(sql::FREE)
                .bind(self.owner.id.as_bytes().as_slice())
                .bind(self.owner.token.as_bytes().as_slice()),
        };
        let done = query.execute(&self.owner.shared.writer).await?;
        if done.rows_affected() == 0 && *release == Release::Free {
            // An earlier try may have done it: a key that is free is as asked.
            return Ok(
                match resolve::find(&self.owner.shared, &self.owner.id).await? {
                    None => Settled::Applied,
                    Some(_) => Settled::Stale,
                },
            );
        }
        self.settled(&done, RecordState::Failed).await
    }

    /// Reads the result of a statement that was to bring the record into `state`.
    ///
    /// If it changed nothing, an earlier try whose acknowledgement was lost may have.
    async fn settled(&self, done: &SqliteQueryResult, state: RecordState) -> sqlx::Result<Settled> {
        if done.rows_affected() == 1 {
            return Ok(Settled::Applied);
        }
        Ok(if self.state().await?.as_deref() == Some(state.as_str()) {
            Settled::Applied
        } else {
            Settled::Stale
        })
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
        StepJournal::new(SqliteSteps(self.owner.clone()))
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        let state = self.owner.shared.bounded(|| self.state()).await?;
        Ok(Standing::of(state.as_deref()))
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        self.owner.shared.bounded(|| self.renew_once()).await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        self.owner
            .shared
            .bounded(|| self.complete_once(completed))
            .await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        self.owner
            .shared
            .bounded(|| self.release_once(release))
            .await
    }
}

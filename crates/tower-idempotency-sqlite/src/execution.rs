use std::{fmt, sync::Arc};

use http::Extensions;
use sqlx::sqlite::SqliteQueryResult;
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, LeaseToken, RecordId, RecordState, Release,
    Renewal, Retention, Settled, StoreError,
};

use crate::{shared::Shared, sql};

/// The lease on a record of a [`SqliteStore`](crate::SqliteStore).
pub struct SqliteExecution {
    shared: Arc<Shared>,
    id: RecordId,
    token: LeaseToken,
    attempt: Attempt,
    lease_ms: Option<i64>,
    abandoned_ms: Option<i64>,
    failed_ms: Option<i64>,
}

impl SqliteExecution {
    pub(crate) fn new(shared: Arc<Shared>, request: &ClaimRequest, attempt: Attempt) -> Self {
        Self {
            shared,
            id: request.id,
            token: request.token,
            attempt,
            lease_ms: Retention::For(request.lease).milliseconds(),
            abandoned_ms: request.abandoned_retention().milliseconds(),
            failed_ms: request.failed_retention.milliseconds(),
        }
    }

    async fn renew_once(&self) -> sqlx::Result<Renewal> {
        let renewed = sqlx::query(sql::RENEW)
            .bind(self.id.as_bytes().as_slice())
            .bind(self.token.as_bytes().as_slice())
            .bind(self.lease_ms)
            .bind(self.abandoned_ms)
            .execute(&self.shared.writer)
            .await?;
        Ok(if renewed.rows_affected() == 1 {
            Renewal::Renewed
        } else {
            Renewal::Lost
        })
    }

    async fn complete_once(&self, completed: &Completed) -> sqlx::Result<Settled> {
        let response = &completed.response;
        let done = sqlx::query(sql::COMPLETE)
            .bind(self.id.as_bytes().as_slice())
            .bind(self.token.as_bytes().as_slice())
            .bind(completed.retention.milliseconds())
            .bind(response.status().as_u16())
            .bind(response.head())
            .bind(response.body().map(AsRef::<[u8]>::as_ref))
            .execute(&self.shared.writer)
            .await?;
        self.settled(&done, RecordState::Completed).await
    }

    async fn release_once(&self, release: &Release) -> sqlx::Result<Settled> {
        let query = match release {
            Release::Failed(failure) => sqlx::query(sql::FAIL)
                .bind(self.id.as_bytes().as_slice())
                .bind(self.token.as_bytes().as_slice())
                .bind(self.failed_ms)
                .bind(failure.category.as_str())
                .bind(&*failure.error),
            Release::Free => sqlx::query(sql::FREE)
                .bind(self.id.as_bytes().as_slice())
                .bind(self.token.as_bytes().as_slice()),
        };
        let done = query.execute(&self.shared.writer).await?;
        self.settled(&done, RecordState::Failed).await
    }

    /// Reads the result of a statement that was to bring the record into `state`.
    ///
    /// If it changed nothing, an earlier try whose acknowledgement was lost may have.
    async fn settled(&self, done: &SqliteQueryResult, state: RecordState) -> sqlx::Result<Settled> {
        if done.rows_affected() == 1 {
            return Ok(Settled::Applied);
        }
        let found: Option<String> = sqlx::query_scalar(sql::STATE_OF)
            .bind(self.id.as_bytes().as_slice())
            .bind(self.token.as_bytes().as_slice())
            .fetch_optional(&self.shared.readers)
            .await?;
        Ok(if found.as_deref() == Some(state.as_str()) {
            Settled::Applied
        } else {
            Settled::Stale
        })
    }
}

impl fmt::Debug for SqliteExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteExecution")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Execution for SqliteExecution {
    fn attempt(&self) -> Attempt {
        self.attempt
    }

    fn install(&mut self, _: &mut Extensions) {}

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        self.shared.bounded(|| self.renew_once()).await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        self.shared.bounded(|| self.complete_once(completed)).await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        self.shared.bounded(|| self.release_once(release)).await
    }
}

use std::{fmt, sync::Arc, time::Duration};

use http::Extensions;
use sqlx::postgres::PgQueryResult;
use tokio::time::sleep;
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, LeaseToken, RecordId, RecordState, Release,
    Renewal, Retention, Settled, StoreError,
};

use crate::shared::Shared;

/// How often a renewal looks at a row that somebody else holds: for about 60 ms in all.
const LOOKS_AT_A_HELD_ROW: u32 = 5;
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The lease on a record of a [`PostgresStore`](crate::PostgresStore).
///
/// It holds no connection.
pub struct PostgresExecution {
    shared: Arc<Shared>,
    id: RecordId,
    token: LeaseToken,
    attempt: Attempt,
    lease_ms: Option<i64>,
    abandoned_ms: Option<i64>,
    failed_ms: Option<i64>,
}

impl PostgresExecution {
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

    /// Says where this execution's record is; `None` if it is no longer this execution's.
    async fn state(&self) -> sqlx::Result<Option<String>> {
        let mut connection = self.shared.connection().await?;
        let state = sqlx::query_scalar::<_, String>(self.shared.sql.state_of.clone())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.token.as_uuid())
            .fetch_optional(&mut *connection)
            .await;
        connection.done();
        state
    }

    /// Renews, and looks again while somebody else holds the row.
    ///
    /// A takeover holds it for moments, and what it does shows only when it has committed.
    /// Whoever holds it longer is a transaction that this execution completes itself in,
    /// and then it cannot be lost at present.
    async fn renew_once(&self) -> sqlx::Result<Renewal> {
        for look in 0..LOOKS_AT_A_HELD_ROW {
            if self.try_to_renew().await? {
                return Ok(Renewal::Renewed);
            }
            if self.state().await?.as_deref() != Some(RecordState::InProgress.as_str()) {
                return Ok(Renewal::Lost);
            }
            sleep(FIRST_LOOK_AGAIN * 2_u32.pow(look)).await;
        }
        Ok(Renewal::Renewed)
    }

    /// Says whether the row could be had and was still this execution's.
    async fn try_to_renew(&self) -> sqlx::Result<bool> {
        let mut connection = self.shared.connection().await?;
        let renewed = sqlx::query(self.shared.sql.renew.clone())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.token.as_uuid())
            .bind(self.lease_ms)
            .bind(self.abandoned_ms)
            .execute(&mut *connection)
            .await;
        connection.done();
        Ok(renewed?.rows_affected() == 1)
    }

    async fn complete_once(&self, completed: &Completed) -> sqlx::Result<Settled> {
        let response = &completed.response;
        let mut connection = self.shared.connection().await?;
        let done = sqlx::query(self.shared.sql.complete.clone())
            .bind(self.id.as_bytes().as_slice())
            .bind(self.token.as_uuid())
            .bind(completed.retention.milliseconds())
            .bind(i16::try_from(response.status().as_u16()).unwrap_or(i16::MAX))
            .bind(response.head())
            .bind(response.body().map(AsRef::<[u8]>::as_ref))
            .execute(&mut *connection)
            .await;
        connection.done();
        drop(connection);
        self.settled(&done?, RecordState::Completed).await
    }

    async fn release_once(&self, release: &Release) -> sqlx::Result<Settled> {
        let mut connection = self.shared.connection().await?;
        let query = match release {
            Release::Failed(failure) => sqlx::query(self.shared.sql.fail.clone())
                .bind(self.id.as_bytes().as_slice())
                .bind(self.token.as_uuid())
                .bind(self.failed_ms)
                .bind(failure.category.as_str())
                .bind(failure.error.replace('\0', "\u{fffd}")),
            Release::Free => sqlx::query(self.shared.sql.free.clone())
                .bind(self.id.as_bytes().as_slice())
                .bind(self.token.as_uuid()),
        };
        let done = query.execute(&mut *connection).await;
        connection.done();
        drop(connection);
        self.settled(&done?, RecordState::Failed).await
    }

    /// Reads the result of a statement that was to bring the record into `state`.
    ///
    /// If it changed nothing, an earlier try whose acknowledgement was lost may have.
    async fn settled(&self, done: &PgQueryResult, state: RecordState) -> sqlx::Result<Settled> {
        if done.rows_affected() == 1 || self.state().await?.as_deref() == Some(state.as_str()) {
            Ok(Settled::Applied)
        } else {
            Ok(Settled::Stale)
        }
    }
}

impl fmt::Debug for PostgresExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresExecution")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Execution for PostgresExecution {
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

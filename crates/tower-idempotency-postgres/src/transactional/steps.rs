//! The results of steps, beside a transaction that may be rolled back.

use std::{future::Future, pin::Pin, sync::Arc};

use sqlx::Row;
use tower_idempotency_core::{KeepSteps, Settled, Steps, StoreError};

use super::execution::Owner;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The steps of one transactional execution, written on another connection.
///
/// While the transaction runs, the record that carries them says that the execution failed:
/// that is what it is if nobody commits.
pub(crate) struct TransactionSteps(pub(crate) Arc<Owner>);

impl TransactionSteps {
    async fn load_once(&self) -> sqlx::Result<Option<Steps>> {
        let owner = &self.0;
        let shared = &owner.transactional.shared;
        let mut connection = shared.begin().await?;
        let found = owner
            .query(&shared.sql.load_steps_beside)
            .bind(owner.seen.map(|token| token.as_uuid()))
            .bind(owner.request.fingerprint.to_bytes())
            .fetch_optional(&mut *connection)
            .await;
        let row = connection.finish(found).await?;
        let steps: Option<Option<String>> = row.map(|row| row.try_get("steps")).transpose()?;
        Ok(steps.flatten().map(Steps::from))
    }

    async fn keep_once(&self, steps: &Steps) -> sqlx::Result<Settled> {
        let owner = &self.0;
        let shared = &owner.transactional.shared;
        let query = owner
            .query(&shared.sql.keep_steps_beside)
            .bind(owner.request.failed_retention.milliseconds())
            .bind("transient")
            .bind("interrupted after a step");
        let query = owner.bind_record(query).bind(&**steps);
        let mut connection = shared.begin().await?;
        let kept = query.execute(&mut *connection).await;
        let kept = connection.finish(kept).await?;
        Ok(match kept.rows_affected() {
            0 => Settled::Stale,
            _ => Settled::Applied,
        })
    }
}

impl KeepSteps for TransactionSteps {
    fn load(&self) -> BoxFuture<'_, Option<Steps>> {
        Box::pin(self.0.transactional.shared.bounded(|| self.load_once()))
    }

    fn keep<'a>(&'a self, steps: &'a Steps) -> BoxFuture<'a, Settled> {
        self.0.note_steps();
        let shared = &self.0.transactional.shared;
        Box::pin(shared.bounded(move || self.keep_once(steps)))
    }
}

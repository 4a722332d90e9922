//! The results of steps, beside a transaction that may be rolled back.

use std::{future::Future, pin::Pin};

use sqlx::Row;
use tower_idempotency_core::{KeepSteps, Settled, Steps, StoreError};

use super::execution::Owner;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl Owner {
    async fn load_steps_once(&self) -> sqlx::Result<Option<Steps>> {
        let shared = &self.transactional.shared;
        let mut connection = shared.begin().await?;
        let found = self
            .query(&shared.sql.load_steps_beside)
            .bind(self.seen.map(|token| token.as_uuid()))
            .bind(self.request.fingerprint.to_bytes())
            .fetch_optional(&mut *connection)
            .await;
        let row = connection.finish(found).await?;
        let steps: Option<Option<String>> = row.map(|row| row.try_get("steps")).transpose()?;
        Ok(steps.flatten().map(Steps::from))
    }

    async fn keep_steps_once(&self, steps: &Steps) -> sqlx::Result<Settled> {
        let shared = &self.transactional.shared;
        let query = self
            .query(&shared.sql.keep_steps_beside)
            .bind(self.request.failed_retention.milliseconds())
            .bind("transient")
            .bind("interrupted after a step");
        let query = self.bind_record(query).bind(&**steps);
        let mut connection = shared.begin().await?;
        let kept = query.execute(&mut *connection).await;
        let kept = connection.finish(kept).await?;
        Ok(match kept.rows_affected() {
            0 => Settled::Stale,
            _ => Settled::Applied,
        })
    }
}

/// Steps are written on another connection.
///
/// While the transaction runs, the record that carries them says that the execution failed:
/// that is what it is if nobody commits.
impl KeepSteps for Owner {
    fn load(&self) -> BoxFuture<'_, Option<Steps>> {
        Box::pin(self.transactional.shared.bounded(|| self.load_steps_once()))
    }

    fn keep<'a>(&'a self, steps: &'a Steps) -> BoxFuture<'a, Settled> {
        self.note_steps();
        let shared = &self.transactional.shared;
        Box::pin(shared.bounded(move || self.keep_steps_once(steps)))
    }
}

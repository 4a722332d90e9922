//! The results of steps, beside their record.

use std::{future::Future, pin::Pin};

use tower_idempotency_core::{KeepSteps, Settled, Steps, StoreError};

use crate::{execution::Owner, sql};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The steps of one execution.
pub(crate) struct SqliteSteps(pub(crate) Owner);

impl SqliteSteps {
    async fn load_once(&self) -> sqlx::Result<Option<Steps>> {
        let Owner { shared, id, token } = &self.0;
        let found: Option<Option<String>> = sqlx::query_scalar(sql::LOAD_STEPS)
            .bind(id.as_bytes().as_slice())
            .bind(token.as_bytes().as_slice())
            .fetch_optional(&shared.readers)
            .await?;
        Ok(found.flatten().map(Steps::from))
    }

    async fn keep_once(&self, steps: &Steps) -> sqlx::Result<Settled> {
        let Owner { shared, id, token } = &self.0;
        let kept = sqlx::query(sql::KEEP_STEPS)
            .bind(id.as_bytes().as_slice())
            .bind(token.as_bytes().as_slice())
            .bind(&**steps)
            .execute(&shared.writer)
            .await?;
        Ok(match kept.rows_affected() {
            0 => Settled::Stale,
            _ => Settled::Applied,
        })
    }
}

impl KeepSteps for SqliteSteps {
    fn load(&self) -> BoxFuture<'_, Option<Steps>> {
        Box::pin(self.0.shared.bounded(|| self.load_once()))
    }

    fn keep<'a>(&'a self, steps: &'a Steps) -> BoxFuture<'a, Settled> {
        Box::pin(self.0.shared.bounded(move || self.keep_once(steps)))
    }
}

//! The results of steps, beside their record.

use std::{future::Future, pin::Pin, sync::Arc};

use sqlx::Row;
use tower_idempotency_core::{KeepSteps, Settled, Standing, Steps, StoreError, StoreErrorKind};

use crate::execution::Owner;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The steps of one leased execution.
pub(crate) struct LeasedSteps(pub(crate) Arc<Owner>);

impl LeasedSteps {
    async fn load_once(&self) -> sqlx::Result<Option<Steps>> {
        let Owner { shared, .. } = &*self.0;
        let mut connection = shared.begin().await?;
        let found = self
            .0
            .query(&shared.sql.load_steps)
            .fetch_optional(&mut *connection)
            .await;
        let row = connection.finish(found).await?;
        let steps: Option<Option<String>> = row.map(|row| row.try_get("steps")).transpose()?;
        Ok(steps.flatten().map(Steps::from))
    }

    async fn keep_once(&self, steps: &Steps) -> sqlx::Result<bool> {
        self.0.moves();
        let Owner { shared, .. } = &*self.0;
        let mut connection = shared.begin().await?;
        let kept = self
            .0
            .query(&shared.sql.keep_steps)
            .bind(&**steps)
            .execute(&mut *connection)
            .await;
        Ok(connection.finish(kept).await?.rows_affected() == 1)
    }

    async fn keep_or_tell(&self, steps: &Steps) -> Result<Settled, StoreError> {
        let Owner { shared, .. } = &*self.0;
        if shared.bounded(|| self.keep_once(steps)).await? {
            return Ok(Settled::Applied);
        }
        if shared.bounded(|| self.0.standing()).await? != Standing::InProgress {
            return Ok(Settled::Stale);
        }
        let why = "the record is held by a transaction: \
                   take every step before the transaction completes the record";
        Err(StoreError::new(StoreErrorKind::Timeout, why))
    }
}

impl KeepSteps for LeasedSteps {
    fn load(&self) -> BoxFuture<'_, Option<Steps>> {
        Box::pin(self.0.shared.bounded(|| self.load_once()))
    }

    fn keep<'a>(&'a self, steps: &'a Steps) -> BoxFuture<'a, Settled> {
        Box::pin(self.keep_or_tell(steps))
    }
}

//! The results of steps, beside their record.

use std::{future::Future, pin::Pin};

use sqlx::Row;
use tower_idempotency_core::{KeepSteps, Settled, Standing, Steps, StoreError, StoreErrorKind};

use crate::execution::Owner;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl Owner {
    async fn load_steps_once(&self) -> sqlx::Result<Option<Steps>> {
        let Self { shared, .. } = self;
        let mut connection = shared.begin().await?;
        let found = self
            .query(&shared.sql.load_steps)
            .fetch_optional(&mut *connection)
            .await;
        let row = connection.finish(found).await?;
        let steps: Option<Option<String>> = row.map(|row| row.try_get("steps")).transpose()?;
        Ok(steps.flatten().map(Steps::from))
    }

    async fn keep_steps_once(&self, steps: &Steps) -> sqlx::Result<bool> {
        self.moves();
        let Self { shared, .. } = self;
        let mut connection = shared.begin().await?;
        let kept = self
            .query(&shared.sql.keep_steps)
            .bind(&**steps)
            .execute(&mut *connection)
            .await;
        Ok(connection.finish(kept).await?.rows_affected() == 1)
    }

    async fn keep_steps_or_tell(&self, steps: &Steps) -> Result<Settled, StoreError> {
        let Self { shared, .. } = self;
        if shared.bounded(|| self.keep_steps_once(steps)).await? {
            return Ok(Settled::Applied);
        }
        if shared.bounded(|| self.standing()).await? != Standing::InProgress {
            return Ok(Settled::Stale);
        }
        let why = "the record is held by a transaction: \
                   take every step before the transaction completes the record";
        Err(StoreError::new(StoreErrorKind::Timeout, why))
    }
}

impl KeepSteps for Owner {
    fn load(&self) -> BoxFuture<'_, Option<Steps>> {
        Box::pin(self.shared.bounded(|| self.load_steps_once()))
    }

    fn keep<'a>(&'a self, steps: &'a Steps) -> BoxFuture<'a, Settled> {
        Box::pin(self.keep_steps_or_tell(steps))
    }
}

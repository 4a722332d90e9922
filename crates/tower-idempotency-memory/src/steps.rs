//! The results of steps, beside their record.

use std::{future::Future, pin::Pin, sync::Arc};

use tower_idempotency_core::{KeepSteps, LeaseToken, RecordId, Settled, Steps, StoreError};

use crate::store::Inner;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The steps of one execution.
pub(crate) struct MemorySteps {
    pub(crate) inner: Arc<Inner>,
    pub(crate) id: RecordId,
    pub(crate) token: LeaseToken,
}

impl MemorySteps {
    fn keep_now(&self, steps: &Steps) -> Settled {
        let mut records = self.inner.lock();
        let now = self.inner.now();
        let held = records
            .find(&self.id)
            .filter(|kept| kept.is_held_by(self.token) && !kept.has_expired(now));
        if held.is_none() {
            return Settled::Stale;
        }
        records.change(&self.id, |kept| kept.steps = Some(Arc::clone(steps)));
        Settled::Applied
    }
}

impl KeepSteps for MemorySteps {
    fn load(&self) -> BoxFuture<'_, Option<Steps>> {
        let records = self.inner.lock();
        let held = records
            .find(&self.id)
            .filter(|kept| kept.is_held_by(self.token));
        let steps = held.and_then(|kept| kept.steps.clone());
        Box::pin(std::future::ready(Ok(steps)))
    }

    fn keep<'a>(&'a self, steps: &'a Steps) -> BoxFuture<'a, Settled> {
        Box::pin(std::future::ready(Ok(self.keep_now(steps))))
    }
}

use std::fmt;

use http::Extensions;
use tower_idempotency_core::{
    Attempt, Completed, Execution, Release, Renewal, Settled, Standing, StepJournal, StoreError,
    StoreErrorKind,
};

use crate::PostgresExecution;

/// The lease on a record of a [`FencedStore`](crate::FencedStore).
///
/// It holds no connection, and keeps no success: that is what the fence is for.
pub struct FencedExecution {
    lease: PostgresExecution,
}

impl FencedExecution {
    pub(crate) const fn new(lease: PostgresExecution) -> Self {
        Self { lease }
    }
}

impl fmt::Debug for FencedExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FencedExecution")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl Execution for FencedExecution {
    fn attempt(&self) -> Attempt {
        self.lease.attempt()
    }

    fn install(&mut self, extensions: &mut Extensions) {
        self.lease.install(extensions);
    }

    fn steps(&self) -> StepJournal {
        self.lease.steps()
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        self.lease.standing().await
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        self.lease.renew().await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        let status = completed.response.status();
        if status.is_success() || status.is_redirection() {
            return Err(StoreErrorKind::Unfenced.into());
        }
        self.lease.complete(completed).await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        self.lease.release(release).await
    }
}

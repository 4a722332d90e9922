use std::{fmt, sync::Arc};

use http::Extensions;
use sqlx::{Sqlite, Transaction};
use tower_idempotency_core::{
    Attempt, Completed, Execution, FencedTransaction, Release, Renewal, Settled, Standing,
    StepJournal, StoreError, StoreErrorKind,
};

use super::slot::{Left, Slot};
use crate::{SqliteExecution, error, fence::has_ended, shared::Shared};

/// The lease on a record of a [`TransactionalStore`](crate::TransactionalStore), and the handler's
/// transaction once there is one.
pub struct TransactionalExecution {
    lease: SqliteExecution,
    slot: Slot,
    phase: Phase,
}

/// Where the handler's effects are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// In a transaction that is open, or not begun.
    Open,
    /// Committed, or not: the record says so.
    Ended,
    /// Rolled back.
    Undone,
}

impl TransactionalExecution {
    pub(crate) fn new(shared: Arc<Shared>, lease: SqliteExecution) -> Self {
        Self {
            lease,
            slot: Slot::new(shared),
            phase: Phase::Open,
        }
    }

    /// Keeps the response in the handler's transaction, and commits.
    async fn commit(
        &mut self,
        transaction: Transaction<'static, Sqlite>,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        // From here on, whoever asks again must not complete the record without the effects.
        self.phase = Phase::Ended;
        match self.keep_and_commit(transaction, completed).await {
            Ok(Settled::Applied) => Ok(Settled::Applied),
            Ok(Settled::Stale) => {
                self.phase = Phase::Undone;
                Ok(Settled::Stale)
            }
            Err(error) => self.find_out(error).await,
        }
    }

    async fn keep_and_commit(
        &self,
        mut transaction: Transaction<'static, Sqlite>,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        let fence = self.lease.fence();
        let ended = has_ended(&mut transaction).await;
        if ended.map_err(error::store_error)? {
            // Its effects are durable or gone; the response is kept so that they are not repeated.
            tracing::error!(
                record = %fence.0.id,
                "a handler ended its transaction by itself: its effects are not protected from a crash"
            );
        }
        let settled = transaction.complete(&fence, completed).await?;
        if settled == Settled::Applied {
            transaction.commit().await.map_err(error::store_error)?;
        }
        // Rolled back by the drop otherwise.
        Ok(settled)
    }

    /// Finds out how the transaction ended. The file is here: what it says is what happened.
    async fn find_out(&mut self, why: StoreError) -> Result<Settled, StoreError> {
        if self.lease.standing().await? == Standing::Completed {
            return Ok(Settled::Applied);
        }
        self.undo(why).await
    }

    /// Gives the key up after the effects were rolled back, and says why.
    async fn undo(&mut self, why: StoreError) -> Result<Settled, StoreError> {
        self.phase = Phase::Undone;
        // If this fails, too, the key is free when the lease ends.
        let _ = self.lease.release(&Release::Free).await;
        Err(StoreError::new(StoreErrorKind::RolledBack, why))
    }
}

impl fmt::Debug for TransactionalExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalExecution")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl Execution for TransactionalExecution {
    fn attempt(&self) -> Attempt {
        self.lease.attempt()
    }

    fn install(&mut self, extensions: &mut Extensions) {
        extensions.insert(self.slot.clone());
    }

    fn steps(&self) -> StepJournal {
        self.lease.steps()
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        self.lease.standing().await
    }

    /// While the handler's transaction is open nobody can write, so nobody can take the key over.
    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        if self.slot.is_open() {
            return Ok(Renewal::Renewed);
        }
        self.lease.renew().await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        match self.phase {
            Phase::Open => {}
            Phase::Ended => return self.find_out(StoreErrorKind::RolledBack.into()).await,
            Phase::Undone => return Err(StoreErrorKind::RolledBack.into()),
        }
        match self.slot.close() {
            Left::Nothing => self.lease.complete(completed).await,
            Left::Transaction(transaction) => self.commit(transaction, completed).await,
            Left::Kept => {
                let why = "the handler has not given its transaction back: \
                           drop `Tx` before answering";
                self.undo(StoreError::new(StoreErrorKind::RolledBack, why))
                    .await
            }
        }
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        if let Left::Transaction(transaction) = self.slot.close() {
            // Needs the connection that the release writes on; an error means that it is gone.
            let _ = transaction.rollback().await;
        }
        self.lease.release(release).await
    }
}

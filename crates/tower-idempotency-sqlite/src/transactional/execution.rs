use std::{fmt, sync::Arc};

use http::Extensions;
use sqlx::{Sqlite, Transaction};
use tower_idempotency_core::{
    Attempt, Completed, Execution, FencedTransaction, Release, Renewal, Settled, Standing,
    StepJournal, StoreError, StoreErrorKind,
};

use super::slot::{Left, Slot};
use crate::{SqliteExecution, error, shared::Shared};

/// The lease on a record of a [`TransactionalStore`](crate::TransactionalStore), and the handler's
/// transaction once there is one.
pub struct TransactionalExecution {
    lease: SqliteExecution,
    slot: Slot,
    /// Whether the handler's effects were rolled back.
    is_undone: bool,
}

impl TransactionalExecution {
    pub(crate) fn new(shared: Arc<Shared>, lease: SqliteExecution) -> Self {
        Self {
            lease,
            slot: Slot::new(shared),
            is_undone: false,
        }
    }

    /// Keeps the response in the handler's transaction, and commits.
    async fn commit(
        &mut self,
        mut transaction: Transaction<'static, Sqlite>,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        let settled = transaction.complete(&self.lease.fence(), completed).await;
        let error = match settled {
            Ok(Settled::Applied) => match transaction.commit().await {
                Ok(()) => return Ok(Settled::Applied),
                Err(error) => error::store_error(error),
            },
            Ok(Settled::Stale) => {
                // Rolled back by the drop.
                self.is_undone = true;
                return Ok(Settled::Stale);
            }
            Err(error) => error,
        };
        // The file is here: what it says is what happened.
        if self.lease.standing().await? == Standing::Completed {
            return Ok(Settled::Applied);
        }
        self.undo(error).await
    }

    /// Gives the key up after the effects were rolled back, and says why.
    async fn undo(&mut self, why: StoreError) -> Result<Settled, StoreError> {
        self.is_undone = true;
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
        if self.is_undone {
            return Err(StoreErrorKind::RolledBack.into());
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

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Extensions;
use sqlx::{Postgres, postgres::PgArguments, query::Query};
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, LeaseToken, Release, Renewal, Settled, Standing,
    StepJournal, StoreError, StoreErrorKind,
};

use super::{
    ending::{self, Ending},
    open::OpenTransaction,
    slot::Slot,
    store::Transactional,
};
use crate::{claim::readable, sql::Text};

/// The transaction of a claimed request in a [`TransactionalStore`](crate::TransactionalStore).
///
/// It holds a connection until it is settled. Dropping it rolls back.
pub struct TransactionExecution {
    owner: Arc<Owner>,
    slot: Slot,
    phase: Phase,
}

/// Everything that names the execution to the database.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) transactional: Arc<Transactional>,
    pub(crate) request: ClaimRequest,
    pub(crate) attempt: Attempt,
    /// The token of the record that the claim found, which this execution's takes the place of.
    pub(crate) seen: Option<LeaseToken>,
    /// Whether results of steps were written beside the transaction.
    pub(crate) has_steps: AtomicBool,
}

/// Where the execution is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The transaction is open.
    Open,
    /// The answer to its commit got lost.
    Unknown,
    /// It was committed, with the response.
    Committed,
    /// Somebody else's record is in its place; it was rolled back.
    Stale,
    /// It was rolled back.
    Undone,
}

impl Owner {
    /// Prepares a statement whose first parameters are the identity and the token.
    pub(crate) fn query(&self, text: &Text) -> Query<'static, Postgres, PgArguments> {
        self.transactional
            .shared
            .query(text)
            .bind(self.request.id.as_bytes().to_vec())
            .bind(self.request.token.as_uuid())
    }

    /// Binds all that a record holds beside its end, and the token that was seen.
    pub(crate) fn bind_record<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        let request = &self.request;
        query
            .bind(request.fingerprint.to_bytes())
            .bind(readable(request.scope.namespace()))
            .bind(readable(request.scope.principal()))
            .bind(readable(request.scope.route()))
            .bind(request.key.as_str())
            .bind(i32::try_from(self.attempt.number).unwrap_or(i32::MAX))
            .bind(self.attempt.takeover)
            .bind(self.seen.map(|token| token.as_uuid()))
    }
}

impl TransactionExecution {
    pub(crate) fn new(
        transactional: Arc<Transactional>,
        request: &ClaimRequest,
        attempt: Attempt,
        seen: Option<LeaseToken>,
        open: OpenTransaction,
    ) -> Self {
        let owner = Owner {
            transactional,
            request: request.clone(),
            attempt,
            seen,
            has_steps: AtomicBool::new(false),
        };
        Self {
            owner: Arc::new(owner),
            slot: Slot::new(open),
            phase: Phase::Open,
        }
    }

    /// Remembers how the transaction ended, so that asking again gives the same answer.
    fn note(&mut self, ending: &Result<Ending, StoreError>) {
        self.phase = match ending {
            Ok(Ending::Committed) => Phase::Committed,
            Ok(Ending::Stale) => Phase::Stale,
            Err(error) if error.kind().is_undone() => Phase::Undone,
            Err(_) => Phase::Unknown,
        };
    }

    async fn find_out(&mut self) -> Result<Ending, StoreError> {
        let found = ending::find_out(&self.owner).await;
        self.note(&found);
        found
    }
}

/// Whoever still has the request must not keep the transaction open.
impl Drop for TransactionExecution {
    fn drop(&mut self) {
        drop(self.slot.close());
    }
}

impl fmt::Debug for TransactionExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionExecution")
            .field("id", &self.owner.request.id)
            .field("attempt", &self.owner.attempt)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Execution for TransactionExecution {
    fn attempt(&self) -> Attempt {
        self.owner.attempt
    }

    fn install(&mut self, extensions: &mut Extensions) {
        extensions.insert(self.slot.clone());
    }

    fn steps(&self) -> StepJournal {
        StepJournal::new(Arc::clone(&self.owner))
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        Ok(match self.phase {
            Phase::Open => Standing::InProgress,
            Phase::Committed => Standing::Completed,
            Phase::Stale | Phase::Undone => Standing::Lost,
            Phase::Unknown => match self.find_out().await {
                Ok(Ending::Committed) => Standing::Completed,
                Ok(Ending::Stale) => Standing::Lost,
                Err(error) if error.kind().is_undone() => Standing::Lost,
                Err(error) => return Err(error),
            },
        })
    }

    /// The lock lasts as long as the transaction.
    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        Ok(match self.phase {
            Phase::Open | Phase::Unknown => Renewal::Renewed,
            Phase::Committed | Phase::Stale | Phase::Undone => Renewal::Lost,
        })
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        let ending = match self.phase {
            Phase::Open => {
                let open = self.slot.close();
                // Whatever happens from here on, it is not open any more.
                self.phase = Phase::Unknown;
                let ended = ending::complete(&self.owner, open, completed).await;
                self.note(&ended);
                match ended {
                    Err(error) if error.kind() == StoreErrorKind::CommitUnknown => {
                        self.find_out().await?
                    }
                    ended => ended?,
                }
            }
            Phase::Unknown => self.find_out().await?,
            Phase::Committed => Ending::Committed,
            Phase::Stale => Ending::Stale,
            Phase::Undone => return Err(StoreErrorKind::RolledBack.into()),
        };
        Ok(match ending {
            Ending::Committed => Settled::Applied,
            Ending::Stale => Settled::Stale,
        })
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        match self.phase {
            Phase::Open => {}
            Phase::Undone => return Ok(Settled::Applied),
            Phase::Committed | Phase::Stale => return Ok(Settled::Stale),
            Phase::Unknown => return Err(StoreErrorKind::CommitUnknown.into()),
        }
        self.phase = Phase::Undone;
        let Some(open) = self.slot.close() else {
            // Whoever has it cannot commit it; it is rolled back when they drop it.
            return Ok(Settled::Applied);
        };
        ending::release(&self.owner, open, release).await
    }
}

impl Owner {
    /// Notes that there are results of steps to be looked after.
    pub(crate) fn note_steps(&self) {
        self.has_steps.store(true, Ordering::Relaxed);
    }

    /// Tells whether there may be a record beside the transaction.
    pub(crate) fn may_have_record(&self) -> bool {
        self.seen.is_some() || self.has_steps.load(Ordering::Relaxed)
    }
}

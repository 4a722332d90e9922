use std::{fmt, sync::Arc, time::Duration};

use http::Extensions;
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, LeaseToken, RecordId, RecordState, Release,
    Renewal, Settled, Standing, StepJournal, StoreError,
};

use crate::{steps::MemorySteps, store::Inner};

/// The lease on a record of a [`MemoryStore`](crate::MemoryStore).
pub struct MemoryExecution {
    inner: Arc<Inner>,
    id: RecordId,
    token: LeaseToken,
    lease: Duration,
    attempt: Attempt,
}

impl MemoryExecution {
    pub(crate) fn new(inner: Arc<Inner>, request: &ClaimRequest, attempt: Attempt) -> Self {
        Self {
            inner,
            id: request.id,
            token: request.token,
            lease: request.lease,
            attempt,
        }
    }
}

impl fmt::Debug for MemoryExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryExecution")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Execution for MemoryExecution {
    fn attempt(&self) -> Attempt {
        self.attempt
    }

    fn install(&mut self, _: &mut Extensions) {}

    fn steps(&self) -> StepJournal {
        StepJournal::new(Arc::new(MemorySteps {
            inner: Arc::clone(&self.inner),
            id: self.id,
            token: self.token,
        }))
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        let records = self.inner.lock();
        let now = self.inner.now();
        let ours = records
            .find(&self.id)
            .filter(|kept| kept.token == self.token && !kept.has_expired(now));
        Ok(match ours.map(|kept| kept.info.state) {
            Some(RecordState::InProgress) => Standing::InProgress,
            Some(RecordState::Completed) => Standing::Completed,
            Some(RecordState::Failed) | None => Standing::Lost,
        })
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        let mut records = self.inner.lock();
        let now = self.inner.now();
        let held = records
            .find(&self.id)
            .filter(|kept| kept.is_held_by(self.token) && !kept.has_expired(now));
        if held.is_none() {
            return Ok(Renewal::Lost);
        }
        records.change(&self.id, |kept| kept.renew(self.lease, now));
        Ok(Renewal::Renewed)
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        let mut records = self.inner.lock();
        let now = self.inner.now();
        let ours = records
            .find(&self.id)
            .filter(|kept| kept.token == self.token && !kept.has_expired(now));
        let Some(kept) = ours else {
            return Ok(Settled::Stale);
        };
        if !kept.is_held_by(self.token) {
            return Ok(settled_before(kept.response.is_some()));
        }
        let size = completed.response.size_bytes() as u64;
        self.inner.make_room_for(&mut records, size, now)?;
        records.change(&self.id, |kept| kept.complete(completed, now));
        Ok(Settled::Applied)
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        let mut records = self.inner.lock();
        let now = self.inner.now();
        let live = records.find(&self.id).filter(|kept| !kept.has_expired(now));
        if live.is_none() {
            // A key that is free is as asked.
            return Ok(settled_before(*release == Release::Free));
        }
        let Some(kept) = live.filter(|kept| kept.token == self.token) else {
            return Ok(Settled::Stale);
        };
        if !kept.is_held_by(self.token) {
            return Ok(settled_before(kept.info.failure.is_some()));
        }
        match release {
            Release::Failed(failure) => records.change(&self.id, |kept| kept.fail(failure, now)),
            Release::Free => drop(records.remove(&self.id)),
        }
        Ok(Settled::Applied)
    }
}

/// An execution that has ended in the way that is asked for was settled by an earlier try.
const fn settled_before(as_asked: bool) -> Settled {
    if as_asked {
        Settled::Applied
    } else {
        Settled::Stale
    }
}

use http::Extensions;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Completed, Execution, ListPage, Record, RecordId, RecordInfo,
    Release, Renewal, Resolution, Resolved, Settled, Standing, StepJournal, Store, StoreError,
    StoreErrorKind, StoreLimits, Swept,
};

use super::{Faults, Verb};

/// A store that does what another one does, except where its script says otherwise.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::{ClaimRequest, Fingerprint, IdempotencyKey, Scope, Store};
/// use tower_idempotency_core::StoreErrorKind;
/// use tower_idempotency_memory::MemoryStore;
/// use tower_idempotency_testkit::{FaultStore, Verb};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tower_idempotency_testkit::run(async {
/// let store = FaultStore::new(MemoryStore::new());
/// store.faults().fail_next(Verb::Claim, 1, StoreErrorKind::Unavailable);
///
/// let scope = Scope::new("alice", "POST /payments");
/// let request = ClaimRequest::new(scope, IdempotencyKey::new("k-1")?, Fingerprint::OFF);
/// assert!(store.claim(&request).await.is_err());
/// assert!(store.claim(&request).await.is_ok());
/// assert_eq!(store.faults().calls(Verb::Claim), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FaultStore<St> {
    inner: St,
    faults: Faults,
}

impl<St> FaultStore<St> {
    /// Wraps `inner`, with an empty script.
    pub fn new(inner: St) -> Self {
        Self {
            inner,
            faults: Faults::default(),
        }
    }

    /// Returns the script.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Returns the wrapped store.
    pub const fn inner(&self) -> &St {
        &self.inner
    }
}

impl<St: Store> Store for FaultStore<St> {
    type Execution = FaultExecution<St::Execution>;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<Self::Execution>, StoreError> {
        let claim = self
            .faults
            .play(Verb::Claim, self.inner.claim(request))
            .await?;
        Ok(claim.map(|inner| FaultExecution {
            inner,
            faults: self.faults.clone(),
        }))
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.faults.play(Verb::Lookup, self.inner.lookup(id)).await
    }

    async fn list(&self, page: &ListPage) -> Result<Vec<RecordInfo>, StoreError> {
        self.faults.play(Verb::List, self.inner.list(page)).await
    }

    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError> {
        self.faults.play(Verb::Sweep, self.inner.sweep(limit)).await
    }

    async fn ended(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
        self.faults.play(Verb::Ended, self.inner.ended(ids)).await
    }

    async fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        self.faults
            .play(Verb::Resolve, self.inner.resolve(id, resolution))
            .await
    }

    /// A store that can fail is treated like one that is elsewhere, wherever its records are.
    fn limits(&self) -> StoreLimits {
        let mut limits = self.inner.limits();
        limits.in_process = false;
        limits
    }
}

/// The execution of a [`FaultStore`].
#[derive(Debug)]
pub struct FaultExecution<E> {
    inner: E,
    faults: Faults,
}

impl<E: Execution> FaultExecution<E> {
    async fn roll_back(&mut self, kind: StoreErrorKind) -> Result<Settled, StoreError> {
        let _ = self.inner.release(&Release::Free).await?;
        Err(kind.into())
    }
}

impl<E: Execution> Execution for FaultExecution<E> {
    fn attempt(&self) -> Attempt {
        self.inner.attempt()
    }

    fn install(&mut self, extensions: &mut Extensions) {
        self.inner.install(extensions);
    }

    fn steps(&self) -> StepJournal {
        self.inner.steps()
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        self.faults
            .play(Verb::Standing, self.inner.standing())
            .await
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        self.faults.play(Verb::Renew, self.inner.renew()).await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        if let Some(kind) = self.faults.rolls_back(Verb::Complete) {
            return self.roll_back(kind).await;
        }
        self.faults
            .play(Verb::Complete, self.inner.complete(completed))
            .await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        if let Some(kind) = self.faults.rolls_back(Verb::Release) {
            return self.roll_back(kind).await;
        }
        self.faults
            .play(Verb::Release, self.inner.release(release))
            .await
    }
}

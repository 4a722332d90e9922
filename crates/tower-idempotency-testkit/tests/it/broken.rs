//! Stores with one guard missing each: the suite must catch every one.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Extensions;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Completed, Execution, LeaseToken, ListPage, Record, RecordId,
    RecordInfo, Release, Renewal, Resolution, Resolved, Settled, Standing, StepJournal, Store,
    StoreError, StoreLimits, Swept,
};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{
    Harness, ManualClock,
    conformance::{
        claim, complete, concurrency, expiry, lost_acknowledgement, renew, sweep, takeover,
    },
    run,
};

/// What a broken store does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Breakage {
    /// Nothing: the suite must pass.
    None,
    /// Every claim of a running key gets it.
    ClaimsOverwrite,
    /// Whoever completes is believed.
    CompletionIsNotFenced,
    /// A renewal says yes without looking.
    RenewalIsNotFenced,
    /// A token made by the store instead of the caller's.
    TokenIsTheStores,
    /// Every fingerprint matches.
    FingerprintIsIgnored,
    /// Dead leases stay for ever.
    NothingIsTakenOver,
    /// A sweep says that it did something.
    SweepLies,
    /// Time does not pass.
    NothingExpires,
}

struct Broken {
    store: BrokenStore,
    clock: Arc<ManualClock>,
}

struct BrokenStore {
    inner: MemoryStore,
    breakage: Breakage,
    second_try: AtomicBool,
}

struct BrokenExecution {
    inner: Box<<MemoryStore as Store>::Execution>,
    breakage: Breakage,
}

impl Harness for Broken {
    type Store = BrokenStore;

    fn store(&self) -> &BrokenStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        if self.store.breakage != Breakage::NothingExpires {
            self.clock.advance(by);
        }
    }

    async fn damage(&self, _: &RecordId) -> bool {
        false
    }
}

impl Store for BrokenStore {
    type Execution = BrokenExecution;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<BrokenExecution>, StoreError> {
        let mut request = request.clone();
        match self.breakage {
            Breakage::TokenIsTheStores => request.token = LeaseToken::random(),
            Breakage::FingerprintIsIgnored => {
                request.fingerprint = tower_idempotency_core::Fingerprint::OFF;
            }
            _ => {}
        }
        let mut claim = self.inner.claim(&request).await?;
        if self.breakage == Breakage::ClaimsOverwrite && matches!(claim, Claim::InProgress { .. }) {
            // Between the look and the write others look, too.
            tokio::task::yield_now().await;
            let owned = self.second_try.swap(true, Ordering::Relaxed);
            if !owned {
                let mut other = request.clone();
                other.scope = other.scope.in_namespace("broken");
                other.id = RecordId::new(&other.scope, &other.key);
                claim = self.inner.claim(&other).await?;
            }
        }
        let breakage = self.breakage;
        if breakage == Breakage::NothingIsTakenOver
            && let Claim::Acquired(execution) = &claim
            && execution.attempt().takeover
        {
            return Ok(Claim::OutcomeUnknown);
        }
        Ok(claim.map(|inner| BrokenExecution {
            inner: Box::new(inner),
            breakage,
        }))
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.inner.lookup(id).await
    }

    async fn list(&self, page: &ListPage) -> Result<Vec<RecordInfo>, StoreError> {
        self.inner.list(page).await
    }

    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError> {
        match self.breakage {
            Breakage::SweepLies => Ok(Swept::new(limit.into(), false)),
            _ => self.inner.sweep(limit).await,
        }
    }

    async fn ended(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
        self.inner.ended(ids).await
    }

    async fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        self.inner.resolve(id, resolution).await
    }

    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }
}

impl Execution for BrokenExecution {
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
        self.inner.standing().await
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        match self.breakage {
            Breakage::RenewalIsNotFenced => Ok(Renewal::Renewed),
            _ => self.inner.renew().await,
        }
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        let settled = self.inner.complete(completed).await?;
        match self.breakage {
            Breakage::CompletionIsNotFenced => Ok(Settled::Applied),
            _ => Ok(settled),
        }
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        self.inner.release(release).await
    }
}

fn broken(breakage: Breakage) -> Arc<Broken> {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Arc::new(Broken {
        store: BrokenStore {
            inner: store.unwrap(),
            breakage,
            second_try: AtomicBool::new(false),
        },
        clock,
    })
}

/// Asserts that a case passes on a right store and fails on a broken one.
fn catches<F, Fut>(breakage: Breakage, case: F)
where
    F: Fn(Arc<Broken>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    run(async {
        let right = tokio::spawn(case(broken(Breakage::None))).await;
        assert!(right.is_ok(), "the case fails on a right store");
        let wrong = tokio::spawn(case(broken(breakage))).await;
        assert!(wrong.is_err(), "the case passes although {breakage:?}");
    });
}

macro_rules! caught {
    ($($name:ident: $breakage:ident by $topic:ident::$case:ident;)*) => {
        $(
            #[test]
            fn $name() {
                catches(Breakage::$breakage, |harness| async move {
                    $topic::$case(&harness).await;
                });
            }
        )*
    };
}

caught! {
    a_second_winner_is_caught: ClaimsOverwrite by concurrency::one_of_many_claims_wins;
    an_overwriting_claim_is_caught: ClaimsOverwrite by claim::a_duplicate_is_in_progress;
    a_completion_without_fence_is_caught: CompletionIsNotFenced
        by complete::completing_is_fenced_by_the_token;
    a_renewal_without_fence_is_caught: RenewalIsNotFenced by renew::renewing_is_fenced_by_the_token;
    a_token_of_the_stores_own_is_caught: TokenIsTheStores
        by lost_acknowledgement::a_claim_recognises_its_own_record;
    an_ignored_fingerprint_is_caught: FingerprintIsIgnored
        by claim::another_request_is_a_mismatch_while_the_first_runs;
    a_lease_that_never_dies_is_caught: NothingIsTakenOver by takeover::a_dead_lease_is_taken_over;
    a_sweep_that_lies_is_caught: SweepLies by sweep::only_expired_records_are_deleted;
    a_record_that_never_expires_is_caught: NothingExpires
        by expiry::a_completed_key_is_absent_after_its_retention;
}

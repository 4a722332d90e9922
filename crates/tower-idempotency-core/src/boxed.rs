//! A store chosen at run time.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::Extensions;

use crate::{
    Attempt, Claim, ClaimRequest, Completed, Execution, ListPage, Record, RecordId, RecordInfo,
    Release, Renewal, Resolution, Resolved, Settled, Standing, StepJournal, Store, StoreError,
    StoreLimits, Swept,
};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Any store behind one type, so that a program can choose it at run time.
///
/// Each verb costs one allocation more than the store itself. Cloning is cheap.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::{BoxStore, Store};
///
/// fn either(first: impl Store, second: impl Store, choice: bool) -> BoxStore {
///     if choice { BoxStore::new(first) } else { BoxStore::new(second) }
/// }
/// ```
#[derive(Clone)]
pub struct BoxStore(Arc<dyn ErasedStore>);

impl BoxStore {
    /// Hides the type of `store`.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for BoxStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxStore").finish_non_exhaustive()
    }
}

impl Store for BoxStore {
    type Execution = BoxExecution;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<BoxExecution>, StoreError> {
        self.0.claim(request).await
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        self.0.lookup(id).await
    }

    async fn list(&self, page: &ListPage) -> Result<Vec<RecordInfo>, StoreError> {
        self.0.list(page).await
    }

    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError> {
        self.0.sweep(limit).await
    }

    async fn ended(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
        self.0.ended(ids).await
    }

    async fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        self.0.resolve(id, resolution).await
    }

    fn limits(&self) -> StoreLimits {
        self.0.limits()
    }
}

/// The execution of a [`BoxStore`].
pub struct BoxExecution(Box<dyn ErasedExecution>);

impl fmt::Debug for BoxExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxExecution").finish_non_exhaustive()
    }
}

impl Execution for BoxExecution {
    fn attempt(&self) -> Attempt {
        self.0.attempt()
    }

    fn install(&mut self, extensions: &mut Extensions) {
        self.0.install(extensions);
    }

    fn steps(&self) -> StepJournal {
        self.0.steps()
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        self.0.standing().await
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        self.0.renew().await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        self.0.complete(completed).await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        self.0.release(release).await
    }
}

/// [`Store`] with boxed futures, which makes it usable as a trait object.
trait ErasedStore: Send + Sync {
    fn claim<'a>(&'a self, request: &'a ClaimRequest) -> BoxFuture<'a, Claim<BoxExecution>>;
    fn lookup<'a>(&'a self, id: &'a RecordId) -> BoxFuture<'a, Option<Record>>;
    fn list<'a>(&'a self, page: &'a ListPage) -> BoxFuture<'a, Vec<RecordInfo>>;
    fn sweep(&self, limit: u32) -> BoxFuture<'_, Swept>;
    fn ended<'a>(&'a self, ids: &'a [RecordId]) -> BoxFuture<'a, Vec<RecordId>>;
    fn resolve<'a>(
        &'a self,
        id: &'a RecordId,
        resolution: &'a Resolution,
    ) -> BoxFuture<'a, Resolved>;
    fn limits(&self) -> StoreLimits;
}

impl<St: Store> ErasedStore for St {
    fn claim<'a>(&'a self, request: &'a ClaimRequest) -> BoxFuture<'a, Claim<BoxExecution>> {
        Box::pin(async move {
            let claim = Store::claim(self, request).await?;
            Ok(claim.map(|execution| BoxExecution(Box::new(execution))))
        })
    }

    fn lookup<'a>(&'a self, id: &'a RecordId) -> BoxFuture<'a, Option<Record>> {
        Box::pin(Store::lookup(self, id))
    }

    fn list<'a>(&'a self, page: &'a ListPage) -> BoxFuture<'a, Vec<RecordInfo>> {
        Box::pin(Store::list(self, page))
    }

    fn sweep(&self, limit: u32) -> BoxFuture<'_, Swept> {
        Box::pin(Store::sweep(self, limit))
    }

    fn ended<'a>(&'a self, ids: &'a [RecordId]) -> BoxFuture<'a, Vec<RecordId>> {
        Box::pin(Store::ended(self, ids))
    }

    fn resolve<'a>(
        &'a self,
        id: &'a RecordId,
        resolution: &'a Resolution,
    ) -> BoxFuture<'a, Resolved> {
        Box::pin(Store::resolve(self, id, resolution))
    }

    fn limits(&self) -> StoreLimits {
        Store::limits(self)
    }
}

/// [`Execution`] with boxed futures.
trait ErasedExecution: Send {
    fn attempt(&self) -> Attempt;
    fn install(&mut self, extensions: &mut Extensions);
    fn steps(&self) -> StepJournal;
    fn standing(&mut self) -> BoxFuture<'_, Standing>;
    fn renew(&mut self) -> BoxFuture<'_, Renewal>;
    fn complete<'a>(&'a mut self, completed: &'a Completed) -> BoxFuture<'a, Settled>;
    fn release<'a>(&'a mut self, release: &'a Release) -> BoxFuture<'a, Settled>;
}

impl<E: Execution> ErasedExecution for E {
    fn attempt(&self) -> Attempt {
        Execution::attempt(self)
    }

    fn install(&mut self, extensions: &mut Extensions) {
        Execution::install(self, extensions);
    }

    fn steps(&self) -> StepJournal {
        Execution::steps(self)
    }

    fn standing(&mut self) -> BoxFuture<'_, Standing> {
        Box::pin(Execution::standing(self))
    }

    fn renew(&mut self) -> BoxFuture<'_, Renewal> {
        Box::pin(Execution::renew(self))
    }

    fn complete<'a>(&'a mut self, completed: &'a Completed) -> BoxFuture<'a, Settled> {
        Box::pin(Execution::complete(self, completed))
    }

    fn release<'a>(&'a mut self, release: &'a Release) -> BoxFuture<'a, Settled> {
        Box::pin(Execution::release(self, release))
    }
}

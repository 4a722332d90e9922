//! The contract of a store.

use std::{future::Future, sync::Arc, time::Duration};

use http::Extensions;

use crate::{
    Attempt, Claim, ClaimRequest, Completed, Record, RecordId, RecordInfo, RecordState, Release,
    Renewal, Resolution, Resolved, Settled, Standing, StepJournal, StoreError,
};

/// A place where records are kept.
///
/// A store keeps one record for each (scope, key) and lets one execution at a time have it.
/// `tower-idempotency-testkit` holds the suite that every store must pass.
///
/// # What every store must hold to
///
/// 1. **One live lease.** For one [`RecordId`] at most one lease is live,
///    judged by one clock: the store's, never the caller's.
/// 2. **A completed record stays as it is** until it expires.
/// 3. **Fencing.** `renew`, `complete` and `release` compare the token and act in one atomic step.
///    A caller whose token is not the present one changes nothing and is told so.
/// 4. **Expired is absent**, whether or not the record is still there physically.
///    A completed or failed record expires after its retention;
///    one in progress when its lease has been dead for the failed retention
///    (never, if it was claimed with [`CrashPolicy::Hold`](crate::CrashPolicy::Hold)).
/// 5. **Bounded.** Every verb ends within a bound of the store's own, with an outcome or an error.
/// 6. **Nothing is held** between two calls: no connection, no lock, no transaction
///    (an [`Execution`] that *is* a transaction excepted).
///
/// # Forbidden implementations
///
/// A claim that reads and then writes without a guard on what it read;
/// a claim that overwrites;
/// a completion that takes the absence of an error for "one row changed";
/// an expiry that compares one clock with another.
///
/// No verb has a default body, since a wrong default would weaken the guarantees in silence.
pub trait Store: Send + Sync + 'static {
    /// The right to execute that a claim gives: a lease for most stores.
    type Execution: Execution;

    /// Claims the key for one execution, atomically.
    ///
    /// In this order, judged on the record at one instant:
    ///
    /// 1. absent or expired: a new record, attempt 1, `Acquired`;
    /// 2. in progress with **this** token: `Acquired`, as before
    ///    (the acknowledgement of an earlier try was lost);
    /// 3. failed: the record is claimed again with the new fingerprint, attempt + 1, `Acquired`;
    ///    `Exhausted` if the key has had all its attempts, and nothing changes;
    /// 4. the fingerprint does not match: `Mismatch`, and nothing changes;
    /// 5. completed: `Completed`, with what is left of the record's life, and nothing changes;
    /// 6. in progress, lease live: `InProgress`, and nothing changes;
    /// 7. in progress, lease over: with `CrashPolicy::Retry` attempt + 1, a takeover, `Acquired`;
    ///    with `CrashPolicy::Hold`, or if the key has had all its attempts, `OutcomeUnknown`,
    ///    and nothing changes.
    ///
    /// It must not wait for the transaction of a running execution.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what was asked may have happened, and trying again with the same
    /// request tells.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the record either untouched or claimed by the request's token,
    /// to be claimed again with it or to run out of its lease.
    fn claim(
        &self,
        request: &ClaimRequest,
    ) -> impl Future<Output = Result<Claim<Self::Execution>, StoreError>> + Send;

    /// Reads one record; `None` if it is absent or expired.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind `Unreadable` if the record is there and cannot be understood.
    ///
    /// # Cancel safety
    ///
    /// Nothing changes, so dropping the future is harmless.
    fn lookup(
        &self,
        id: &RecordId,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;

    /// Reads a page of records without their responses, in the order of their identities.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing changes, so dropping the future is harmless.
    fn list(
        &self,
        page: &ListPage,
    ) -> impl Future<Output = Result<Vec<RecordInfo>, StoreError>> + Send;

    /// Deletes at most `limit` expired records; live ones stay, whoever is at work on them.
    ///
    /// Several processes may call it at once; a store lets one of them do the work.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// A dropped sweep has deleted some expired records, or none.
    fn sweep(&self, limit: u32) -> impl Future<Output = Result<Swept, StoreError>> + Send;

    /// Tells which of these keys nobody is at work on any more: completed, released, or their lease
    /// has run out. For duplicates that wait: one question for all of them.
    ///
    /// An answer may be early or late by a moment; whoever waits claims afterwards.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing changes, so dropping the future is harmless.
    fn ended(
        &self,
        ids: &[RecordId],
    ) -> impl Future<Output = Result<Vec<RecordId>, StoreError>> + Send;

    /// Resolves a key that nobody is at work on, as an operator decides:
    /// one that is held after a crash, or whose last execution failed.
    ///
    /// A live lease and a kept response are never touched.
    /// The token changes, so an owner that comes back late can change nothing.
    /// It must not wait for the transaction of a running execution.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the key may or may not be resolved, and asking again tells.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the key resolved or as it was.
    fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> impl Future<Output = Result<Resolved, StoreError>> + Send;

    /// Says what the store can hold, so that a setting beyond it is refused at build time.
    fn limits(&self) -> StoreLimits;
}

/// The right to execute one claimed request, until it is settled or its lease runs out.
///
/// Dropping it settles nothing: the lease runs out, and the crash policy decides.
/// `complete` and `release` take `&mut self`, since a call whose outcome is unknown
/// is made again with the same token.
pub trait Execution: Send + 'static {
    /// Returns which try of the key this is.
    fn attempt(&self) -> Attempt;

    /// Puts into the request's extensions what a handler may take: a transaction, or the fence
    /// that a transaction of the handler's is completed with
    /// (see [`FencedTransaction`](crate::FencedTransaction)).
    ///
    /// It is called twice, for the request and for the handle of it, and gives the same.
    fn install(&mut self, extensions: &mut Extensions);

    /// Returns where the results of durable steps are kept for this execution.
    fn steps(&self) -> StepJournal;

    /// Looks where the record is.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing changes, so dropping the future is harmless.
    fn standing(&mut self) -> impl Future<Output = Result<Standing, StoreError>> + Send;

    /// Lets the lease last its whole length again, if the token is still the present one.
    ///
    /// It must not wait for a transaction that holds the record.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the lease may or may not have been renewed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the lease renewed or as it was.
    fn renew(&mut self) -> impl Future<Output = Result<Renewal, StoreError>> + Send;

    /// Keeps the response, if the token is still the present one.
    ///
    /// A lease that ran out does not matter as long as nobody took the key over.
    /// Completing again after an error is safe: `Applied` if the record is already so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the record may or may not be completed. If its kind
    /// [is undone](crate::StoreErrorKind::is_undone), the execution was a transaction and is rolled
    /// back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the record completed or as it was.
    fn complete(
        &mut self,
        completed: &Completed,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Gives the key up, if the token is still the present one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the key may or may not be free, and is at the end of the lease.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the key released or as it was.
    fn release(
        &mut self,
        release: &Release,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;
}

/// Which records to list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ListPage {
    /// Only records in this state. Default: all.
    pub state: Option<RecordState>,
    /// Only records behind this identity: the last one of the page before. Default: the start.
    pub after: Option<RecordId>,
    /// At most so many. Default: 100.
    pub limit: u32,
}

impl Default for ListPage {
    fn default() -> Self {
        Self {
            state: None,
            after: None,
            limit: 100,
        }
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Swept {
    /// How many records were deleted.
    pub deleted: u64,
    /// Whether more are waiting, so that another sweep is worth while at once.
    pub more: bool,
}

impl Swept {
    /// Reports `deleted` records, and whether more are waiting.
    #[must_use]
    pub const fn new(deleted: u64, more: bool) -> Self {
        Self { deleted, more }
    }
}

/// What a store can hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// The largest response (headers and body) that it can keep, in bytes.
    pub max_response_bytes: u64,
    /// The longest lease.
    pub max_lease: Duration,
    /// Whether the records lie in the memory of this process, so that nothing is gained by keeping
    /// copies of them in front of the store. Default: false.
    pub in_process: bool,
}

impl StoreLimits {
    /// Limits responses to `max_response_bytes`, and leases to a day.
    #[must_use]
    pub const fn new(max_response_bytes: u64) -> Self {
        Self {
            max_response_bytes,
            max_lease: Duration::from_secs(24 * 60 * 60),
            in_process: false,
        }
    }
}

impl<St: Store> Store for Arc<St> {
    type Execution = St::Execution;

    fn claim(
        &self,
        request: &ClaimRequest,
    ) -> impl Future<Output = Result<Claim<Self::Execution>, StoreError>> + Send {
        St::claim(self, request)
    }

    fn lookup(
        &self,
        id: &RecordId,
    ) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
        St::lookup(self, id)
    }

    fn list(
        &self,
        page: &ListPage,
    ) -> impl Future<Output = Result<Vec<RecordInfo>, StoreError>> + Send {
        St::list(self, page)
    }

    fn sweep(&self, limit: u32) -> impl Future<Output = Result<Swept, StoreError>> + Send {
        St::sweep(self, limit)
    }

    fn ended(
        &self,
        ids: &[RecordId],
    ) -> impl Future<Output = Result<Vec<RecordId>, StoreError>> + Send {
        St::ended(self, ids)
    }

    fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> impl Future<Output = Result<Resolved, StoreError>> + Send {
        St::resolve(self, id, resolution)
    }

    fn limits(&self) -> StoreLimits {
        St::limits(self)
    }
}

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tower_idempotency_core::{
    Claim, ClaimRequest, Clock, ListPage, Record, RecordId, RecordInfo, RecordState, Resolution,
    Resolved, Store, StoreError, StoreErrorKind, StoreLimits, Swept,
};

use crate::{
    MemoryExecution, MemoryStoreBuilder,
    record::{Kept, Step},
    records::Records,
};

/// So many expired records are removed under one lock: requests get their turn in between.
const SWEPT_AT_ONCE: usize = 32;

/// A bounded store in the process's memory.
///
/// See the [crate docs](crate). Cloning is cheap, and clones share the records.
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    records: Mutex<Records>,
    clock: Arc<dyn Clock>,
    max_records: usize,
    max_bytes: u64,
}

impl MemoryStore {
    /// Makes a store with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().make()
    }

    /// Starts to set up a store.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::default()
    }

    pub(crate) fn with(max_records: usize, max_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            records: Mutex::default(),
            clock,
            max_records,
            max_bytes,
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("records", &self.inner.lock().len())
            .field("max_records", &self.inner.max_records)
            .field("max_bytes", &self.inner.max_bytes)
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Every change is made by `Records` in single calls that cannot panic halfway,
    /// so the records of a thread that panicked are whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for one more record, of expired ones only.
    fn make_room(&self, records: &mut Records, now: SystemTime) -> Result<(), StoreError> {
        while records.len() >= self.max_records {
            drop_one_expired(records, now)?;
        }
        Ok(())
    }

    /// Makes room for `more` bytes of response, of expired records only.
    pub(crate) fn make_room_for(
        &self,
        records: &mut Records,
        more: u64,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        while records.response_bytes().saturating_add(more) > self.max_bytes {
            drop_one_expired(records, now)?;
        }
        Ok(())
    }
}

/// Drops no more than is needed: dropping everything that has expired would make one caller pay,
/// and all others wait, for what piled up over days.
fn drop_one_expired(records: &mut Records, now: SystemTime) -> Result<(), StoreError> {
    if records.take_expired(now, 1).is_empty() {
        return Err(StoreErrorKind::Full.into());
    }
    Ok(())
}

impl Store for MemoryStore {
    type Execution = MemoryExecution;

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim<MemoryExecution>, StoreError> {
        let mut records = self.inner.lock();
        let now = self.inner.now();
        let begun = match records
            .find(&request.id)
            .map(|kept| kept.judge(request, now))
        {
            Some(Step::Answer(claim)) => {
                return Ok(claim.map(|attempt| {
                    MemoryExecution::new(Arc::clone(&self.inner), request, attempt)
                }));
            }
            Some(Step::Replace(kept)) => kept,
            None => {
                self.inner.make_room(&mut records, now)?;
                Box::new(Kept::first(request, now))
            }
        };
        let attempt = begun.attempt();
        records.put(begun);
        let inner = Arc::clone(&self.inner);
        Ok(Claim::Acquired(MemoryExecution::new(
            inner, request, attempt,
        )))
    }

    async fn lookup(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        let records = self.inner.lock();
        let now = self.inner.now();
        let live = records.find(id).filter(|kept| !kept.has_expired(now));
        Ok(live.map(Kept::to_record))
    }

    async fn list(&self, page: &ListPage) -> Result<Vec<RecordInfo>, StoreError> {
        let records = self.inner.lock();
        let now = self.inner.now();
        Ok(records
            .behind(page.after)
            .filter(|kept| !kept.has_expired(now))
            .filter(|kept| page.state.is_none_or(|state| state == kept.info.state))
            .take(page.limit as usize)
            .map(|kept| kept.info.clone())
            .collect())
    }

    async fn sweep(&self, limit: u32) -> Result<Swept, StoreError> {
        let now = self.inner.now();
        let limit = limit as usize;
        let mut deleted = 0;
        while deleted < limit {
            let at_most = SWEPT_AT_ONCE.min(limit - deleted);
            // They are dropped when the lock is free again.
            let taken = self.inner.lock().take_expired(now, at_most);
            deleted += taken.len();
            if taken.len() < at_most {
                break;
            }
        }
        let more = self.inner.lock().has_expired(now);
        Ok(Swept::new(deleted as u64, more))
    }

    async fn ended(&self, ids: &[RecordId]) -> Result<Vec<RecordId>, StoreError> {
        let records = self.inner.lock();
        let now = self.inner.now();
        let is_running = |id: &&RecordId| {
            let live = records.find(id).filter(|kept| !kept.has_expired(now));
            live.is_some_and(|kept| kept.is_running(now))
        };
        Ok(ids.iter().filter(|id| !is_running(id)).copied().collect())
    }

    async fn resolve(
        &self,
        id: &RecordId,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        let mut records = self.inner.lock();
        let now = self.inner.now();
        let Some(kept) = records.find(id).filter(|kept| !kept.has_expired(now)) else {
            return Ok(Resolved::Absent);
        };
        if kept.info.state == RecordState::Completed {
            return Ok(Resolved::Completed);
        }
        if kept.is_running(now) {
            let remaining = kept.remaining(now);
            return Ok(Resolved::Running { remaining });
        }
        let kept = kept.clone();
        if let Resolution::Answer(completed) = resolution {
            let size = completed.response.size_bytes() as u64;
            self.inner.make_room_for(&mut records, size, now)?;
        }
        match kept.resolve(resolution, now) {
            Some(resolved) => records.put(Box::new(resolved)),
            None => drop(records.remove(id)),
        }
        Ok(Resolved::Applied)
    }

    fn limits(&self) -> StoreLimits {
        let mut limits = StoreLimits::new(self.inner.max_bytes);
        limits.in_process = true;
        limits
    }
}

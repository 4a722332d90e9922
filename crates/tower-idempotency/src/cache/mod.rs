//! Completed records in memory, so that a retry needs no store.
//!
//! A completed record never changes until it expires, so replaying a copy of it is right as long
//! as the copy is not older than the record's life. It is kept for less: for as long as an operator
//! may have to wait until a change by hand is seen.
//!
//! The cache only ever says "this was completed". That a key is free, in progress, or was used
//! with another request, the store alone can say.

mod entry;
mod shard;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use tower_idempotency_core::{RecordId, StoredResponse};

pub(crate) use self::entry::{Entry, Known};
use self::shard::Shard;

/// So many requests can look at once.
const SHARDS: usize = 8;

/// Larger responses of this process's own come in with their first replay: most are never asked
/// for again, and each has to be copied.
const LARGEST_OWN: usize = 16 * 1024;

/// The completed records that this process has seen lately.
pub(crate) struct ReplayCache {
    shards: [Mutex<Shard>; SHARDS],
    /// Heavier records would push too many others out.
    heaviest: usize,
}

impl ReplayCache {
    /// Makes a cache of at most so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let room = bytes / SHARDS;
        Self {
            shards: std::array::from_fn(|_| Mutex::new(Shard::new(room))),
            heaviest: room / 2,
        }
    }

    /// Returns the record, if it may still be replayed.
    pub(crate) fn find(&self, id: &RecordId) -> Option<Arc<Entry>> {
        let entry = self.shard(id).find(id)?;
        (Instant::now() < entry.until()).then_some(entry)
    }

    /// Keeps what the store has just replayed.
    pub(crate) fn keep_replayed(&self, id: RecordId, response: &StoredResponse, known: Known) {
        self.keep(id, Entry::new(response.clone(), known));
    }

    /// Keeps what this process has just completed.
    ///
    /// It is copied: body and headers of a response that was fetched from elsewhere can be slices
    /// of a much larger buffer, which would stay in memory with them.
    pub(crate) fn keep_own(&self, id: RecordId, response: &StoredResponse, known: Known) {
        if response.size_bytes() <= LARGEST_OWN {
            self.keep(id, Entry::new(response.detached(), known));
        }
    }

    fn keep(&self, id: RecordId, entry: Entry) {
        if entry.weight() <= self.heaviest {
            self.shard(&id).keep(id, Arc::new(entry), Instant::now());
        }
    }

    /// The identity is a digest, so each of its bytes is as good as any other.
    fn shard(&self, id: &RecordId) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(id.as_bytes()[0]) % SHARDS];
        // Nothing that runs under the lock can panic half-way.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ReplayCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayCache").finish_non_exhaustive()
    }
}

//! Completed records in memory, so that a retry needs no store.
//!
//! A completed record never changes until it expires, so replaying a copy of it is right as long
//! as the copy is not older than the record's life. It is kept for less: for as long as an operator
//! may have to wait until a change by hand is seen.
//!
//! The cache only ever says "this was completed". That a key is free, in progress, or was used
//! with another request, the store alone can say.

mod entry;

use std::{fmt, sync::Arc};

use moka::{policy::EvictionPolicy, sync::Cache};
use tokio::time::Instant;
use tower_idempotency_core::{RecordId, StoredResponse};

pub(crate) use self::entry::{Entry, Known};

/// Larger responses of this process's own come in with their first replay: most are never asked
/// for again, and each has to be copied.
const LARGEST_OWN: usize = 16 * 1024;

/// The completed records that this process has seen lately.
pub(crate) struct ReplayCache {
    entries: Cache<RecordId, Arc<Entry>>,
    /// Heavier records would push too many others out.
    heaviest: usize,
}

impl ReplayCache {
    /// Makes a cache of at most so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let weight = |_: &RecordId, entry: &Arc<Entry>| {
            // Heavier ones are not kept.
            u32::try_from(entry.weight()).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder()
            .max_capacity(bytes as u64)
            .weigher(weight)
            // Retries come soon or never, so the newest is the most likely to be asked for. The
            // default policy prefers those that were asked for often, and turns the newest away.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            entries,
            heaviest: bytes / 16,
        }
    }

    /// Returns the record, if it may still be replayed.
    pub(crate) fn find(&self, id: &RecordId) -> Option<Arc<Entry>> {
        let entry = self.entries.get(id)?;
        if Instant::now() < entry.until() {
            return Some(entry);
        }
        self.entries.invalidate(id);
        None
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
            self.entries.insert(id, Arc::new(entry));
        }
    }
}

impl fmt::Debug for ReplayCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};
    use tower_idempotency_core::Fingerprint;

    use super::*;
    use crate::{Principal, settings::Settings};

    const LIFE: Duration = Duration::from_secs(5);

    fn id(n: u8) -> RecordId {
        RecordId::from_bytes([n; 32])
    }

    fn keep(cache: &ReplayCache, n: u8, bytes: usize) {
        let settings = Arc::new(Settings::new(Principal::public()));
        let response = StoredResponse::new(StatusCode::OK, &HeaderMap::new(), vec![0; bytes]);
        let known = Known::new(&settings, Fingerprint::OFF, Instant::now(), Some(LIFE));
        cache.keep_replayed(id(n), &response, known);
        cache.entries.run_pending_tasks();
    }

    fn held(cache: &ReplayCache) -> Vec<u8> {
        (0..=u8::MAX)
            .filter(|n| cache.find(&id(*n)).is_some())
            .collect()
    }

    #[test]
    fn the_newest_records_stay_within_the_bound() {
        let cache = ReplayCache::new(64 * 1024);
        for n in 0..=u8::MAX {
            keep(&cache, n, 1_000);
            assert!(cache.entries.weighted_size() <= 64 * 1024);
        }
        let held = held(&cache);
        assert!(held.len() > 20, "{held:?}");
        let first = u8::MAX - u8::try_from(held.len() - 1).unwrap();
        assert_eq!(held, (first..=u8::MAX).collect::<Vec<_>>());
    }

    #[test]
    fn a_record_that_would_push_many_others_out_is_not_kept() {
        let cache = ReplayCache::new(64 * 1024);
        keep(&cache, 0, 10);
        keep(&cache, 1, 4_096);
        assert_eq!(held(&cache), [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_is_gone_when_its_time_is_over() {
        let cache = ReplayCache::new(64 * 1024);
        keep(&cache, 0, 10);
        tokio::time::advance(LIFE - Duration::from_millis(1)).await;
        assert_eq!(held(&cache), [0]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(held(&cache).is_empty());
        cache.entries.run_pending_tasks();
        assert_eq!(cache.entries.entry_count(), 0);
    }
}

//! A part of the cache, under one lock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;
use tower_idempotency_core::RecordId;

use super::Entry;

/// Records in the order in which they came.
///
/// The oldest goes first. Retries come soon or never, and no entry lives for long, so how often
/// one was asked for says less than when it came: a policy that prefers the popular ones
/// would turn the newest away, which are those that will be asked for.
pub(super) struct Shard {
    entries: HashMap<RecordId, Arc<Entry>>,
    /// Each identity of the map, once.
    order: VecDeque<RecordId>,
    bytes: usize,
    room: usize,
}

impl Shard {
    pub(super) fn new(room: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            room,
        }
    }

    pub(super) fn find(&self, id: &RecordId) -> Option<Arc<Entry>> {
        self.entries.get(id).cloned()
    }

    /// Puts an entry in, in the place of an older one of the same record.
    pub(super) fn keep(&mut self, id: RecordId, entry: Arc<Entry>, now: Instant) {
        self.bytes += entry.weight();
        match self.entries.insert(id, entry) {
            Some(older) => self.bytes -= older.weight(),
            None => self.order.push_back(id),
        }
        while let Some(oldest) = self.order.front() {
            let is_over = |entry: &Arc<Entry>| entry.until() <= now;
            if self.bytes <= self.room && !self.entries.get(oldest).is_some_and(is_over) {
                return;
            }
            if let Some(gone) = self.entries.remove(oldest) {
                self.bytes -= gone.weight();
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};
    use tower_idempotency_core::{Fingerprint, StoredResponse};

    use super::{super::Known, *};
    use crate::{Principal, settings::Settings};

    const LIFE: Duration = Duration::from_secs(5);

    fn entry(now: Instant, bytes: usize) -> Arc<Entry> {
        let settings = Arc::new(Settings::new(Principal::public()));
        let response = StoredResponse::new(StatusCode::OK, &HeaderMap::new(), vec![0; bytes]);
        let known = Known::new(&settings, Fingerprint::OFF, now, Some(LIFE));
        Arc::new(Entry::new(response, known))
    }

    fn id(n: u8) -> RecordId {
        RecordId::from_bytes([n; 32])
    }

    /// What is in the shard, and whether its books are right.
    fn held(shard: &Shard) -> Vec<u8> {
        let weights = shard.entries.values().map(|entry| entry.weight());
        assert_eq!(shard.bytes, weights.sum::<usize>());
        assert_eq!(shard.order.len(), shard.entries.len());
        let numbers = shard.order.iter().map(|id| id.as_bytes()[0]);
        numbers.collect()
    }

    #[test]
    fn the_oldest_entry_goes_when_there_is_no_room() {
        let now = Instant::now();
        let mut shard = Shard::new(entry(now, 100).weight() * 3);
        for n in 0..5 {
            shard.keep(id(n), entry(now, 100), now);
        }
        assert_eq!(held(&shard), [2, 3, 4]);
        assert!(shard.find(&id(1)).is_none() && shard.find(&id(2)).is_some());
    }

    #[test]
    fn an_entry_that_comes_again_takes_its_old_place() {
        let now = Instant::now();
        let mut shard = Shard::new(10_000);
        for (n, bytes) in [(0, 100), (1, 100), (0, 300), (0, 50)] {
            shard.keep(id(n), entry(now, bytes), now);
        }
        assert_eq!(held(&shard), [0, 1]);
        let body = |n| shard.find(&id(n)).unwrap().weight() - entry(now, 0).weight();
        assert_eq!((body(0), body(1)), (50, 100));
    }

    #[test]
    fn entries_whose_time_is_over_make_room_first() {
        let now = Instant::now();
        let mut shard = Shard::new(10_000);
        shard.keep(id(0), entry(now, 100), now);
        shard.keep(id(1), entry(now, 100), now);
        shard.keep(id(2), entry(now + LIFE, 100), now + LIFE);
        assert_eq!(held(&shard), [2]);
    }

    #[test]
    fn an_entry_larger_than_the_shard_leaves_nothing_behind() {
        let now = Instant::now();
        let mut shard = Shard::new(1_000);
        shard.keep(id(0), entry(now, 10), now);
        shard.keep(id(1), entry(now, 5_000), now);
        assert!(held(&shard).is_empty());
    }
}

//! All records, and the order in which they expire.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use tower_idempotency_core::RecordId;

use crate::record::Kept;

/// The records by identity, with an index by expiry so that nothing is ever scanned.
#[derive(Debug, Default)]
pub(crate) struct Records {
    by_id: BTreeMap<RecordId, Kept>,
    by_expiry: BTreeSet<(SystemTime, RecordId)>,
    response_bytes: u64,
}

impl Records {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) const fn response_bytes(&self) -> u64 {
        self.response_bytes
    }

    pub(crate) fn find(&self, id: &RecordId) -> Option<&Kept> {
        self.by_id.get(id)
    }

    /// Returns the records behind `after`, in the order of their identities.
    pub(crate) fn behind(&self, after: Option<RecordId>) -> impl Iterator<Item = &Kept> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.by_id
            .range((start, Unbounded))
            .map(|(_, record)| record)
    }

    /// Puts a record in its place and keeps the index and the count right.
    pub(crate) fn put(&mut self, record: Kept) {
        let id = record.info.id;
        self.remove(&id);
        if let Some(end) = record.info.expires_at {
            self.by_expiry.insert((end, id));
        }
        self.response_bytes += record.response_bytes();
        self.by_id.insert(id, record);
    }

    pub(crate) fn remove(&mut self, id: &RecordId) {
        let Some(record) = self.by_id.remove(id) else {
            return;
        };
        if let Some(end) = record.info.expires_at {
            self.by_expiry.remove(&(end, *id));
        }
        self.response_bytes -= record.response_bytes();
    }

    /// Removes at most `limit` expired records and returns how many.
    pub(crate) fn remove_expired(&mut self, now: SystemTime, limit: u64) -> u64 {
        let mut removed = 0;
        while removed < limit
            && let Some((end, id)) = self.by_expiry.first().copied()
            && end <= now
        {
            self.remove(&id);
            removed += 1;
        }
        removed
    }

    /// Tells whether something has expired and is still here.
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.by_expiry.first().is_some_and(|(end, _)| *end <= now)
    }
}

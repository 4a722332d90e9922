//! All records, and the order in which they expire.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use tower_idempotency_core::RecordId;

use crate::record::Kept;

/// The records by identity, with an index by expiry so that nothing is ever scanned.
///
/// The records are boxed: a tree moves its values about.
#[derive(Debug, Default)]
pub(crate) struct Records {
    by_id: BTreeMap<RecordId, Box<Kept>>,
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
        self.by_id.get(id).map(|record| &**record)
    }

    /// Returns the records behind `after`, in the order of their identities.
    pub(crate) fn behind(&self, after: Option<RecordId>) -> impl Iterator<Item = &Kept> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.by_id
            .range((start, Unbounded))
            .map(|(_, record)| &**record)
    }

    /// Puts a record in its place and keeps the index and the count right.
    pub(crate) fn put(&mut self, record: Box<Kept>) {
        let id = record.info.id;
        let after = Traces::of(&record);
        let before = self.by_id.insert(id, record);
        self.retrace(id, before.as_deref().map(Traces::of), Some(after));
    }

    /// Changes a record, if it is there, and keeps the index and the count right.
    pub(crate) fn change(&mut self, id: &RecordId, change: impl FnOnce(&mut Kept)) {
        let Some(record) = self.by_id.get_mut(id) else {
            return;
        };
        let before = Traces::of(record);
        change(record);
        let after = Traces::of(record);
        self.retrace(*id, Some(before), Some(after));
    }

    pub(crate) fn remove(&mut self, id: &RecordId) -> Option<Box<Kept>> {
        let record = self.by_id.remove(id)?;
        self.retrace(*id, Some(Traces::of(&record)), None);
        Some(record)
    }

    /// Removes at most `limit` expired records, for the caller to drop without the lock.
    #[must_use]
    #[expect(
        clippy::vec_box,
        reason = "taking the records out of their boxes would copy them under the lock"
    )]
    pub(crate) fn take_expired(&mut self, now: SystemTime, limit: usize) -> Vec<Box<Kept>> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some((end, id)) = self.by_expiry.first().copied()
            && end <= now
        {
            taken.extend(self.remove(&id));
        }
        taken
    }

    /// Tells whether something has expired and is still here.
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.by_expiry.first().is_some_and(|(end, _)| *end <= now)
    }

    fn retrace(&mut self, id: RecordId, before: Option<Traces>, after: Option<Traces>) {
        let expiry = |traces: Option<Traces>| traces.and_then(|traces| traces.expires_at);
        let bytes = |traces: Option<Traces>| traces.map_or(0, |traces| traces.response_bytes);
        if expiry(before) != expiry(after) {
            if let Some(end) = expiry(before) {
                self.by_expiry.remove(&(end, id));
            }
            if let Some(end) = expiry(after) {
                self.by_expiry.insert((end, id));
            }
        }
        self.response_bytes -= bytes(before);
        self.response_bytes += bytes(after);
    }
}

/// What a record leaves in the index and in the count.
#[derive(Clone, Copy)]
struct Traces {
    expires_at: Option<SystemTime>,
    response_bytes: u64,
}

impl Traces {
    fn of(record: &Kept) -> Self {
        Self {
            expires_at: record.info.expires_at,
            response_bytes: record.response_bytes(),
        }
    }
}

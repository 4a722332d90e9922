//! All records, and the order in which they expire.

use std::{collections::BTreeSet, time::SystemTime};

use tower_idempotency_core::{RecordId, RecordState};

use crate::{by_id::ById, record::Kept};

/// The records by identity, with indexes by expiry so that nothing is ever scanned.
#[derive(Debug, Default)]
pub(crate) struct Records {
    by_id: ById,
    /// Those in progress. They are few, and every request comes and goes here.
    running: Expiries,
    /// All others.
    ended: Expiries,
    response_bytes: u64,
}

/// When records expire, and which.
type Expiries = BTreeSet<(SystemTime, RecordId)>;

impl Records {
    pub(crate) const fn len(&self) -> usize {
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
        self.by_id.behind(after)
    }

    /// Puts a record in its place and keeps the indexes and the count right.
    pub(crate) fn put(&mut self, record: Box<Kept>) {
        let id = record.info.id;
        let after = Traces::of(&record);
        let before = self.by_id.insert(record);
        self.retrace(id, before.as_deref().map(Traces::of), Some(after));
    }

    /// Changes a record, if it is there, and keeps the indexes and the count right.
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
            && let Some((end, id)) = self.first_expiry()
            && end <= now
        {
            taken.extend(self.remove(&id));
        }
        taken
    }

    /// Tells whether something has expired and is still here.
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.first_expiry().is_some_and(|(end, _)| end <= now)
    }

    fn first_expiry(&self) -> Option<(SystemTime, RecordId)> {
        let firsts = [self.running.first(), self.ended.first()];
        firsts.into_iter().flatten().min().copied()
    }

    fn retrace(&mut self, id: RecordId, before: Option<Traces>, after: Option<Traces>) {
        let expiry = |traces: Option<Traces>| {
            let traces = traces?;
            Some((traces.is_running, traces.expires_at?))
        };
        let bytes = |traces: Option<Traces>| traces.map_or(0, |traces| traces.response_bytes);
        if expiry(before) != expiry(after) {
            if let Some((is_running, end)) = expiry(before) {
                self.expiries(is_running).remove(&(end, id));
            }
            if let Some((is_running, end)) = expiry(after) {
                self.expiries(is_running).insert((end, id));
            }
        }
        self.response_bytes -= bytes(before);
        self.response_bytes += bytes(after);
    }

    const fn expiries(&mut self, running: bool) -> &mut Expiries {
        if running {
            &mut self.running
        } else {
            &mut self.ended
        }
    }
}

/// What a record leaves in the indexes and in the count.
#[derive(Clone, Copy)]
struct Traces {
    is_running: bool,
    expires_at: Option<SystemTime>,
    response_bytes: u64,
}

impl Traces {
    fn of(record: &Kept) -> Self {
        Self {
            is_running: record.info.state == RecordState::InProgress,
            expires_at: record.info.expires_at,
            response_bytes: record.response_bytes(),
        }
    }
}

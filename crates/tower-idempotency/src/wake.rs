//! Waking duplicates that wait for an execution in the same process.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;
use tower_idempotency_core::RecordId;

/// The keys that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<HashMap<RecordId, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    waiters: usize,
    waited: Arc<Waited>,
}

/// One key that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Waited {
    pub(crate) settled: Notify,
    /// Whether one of the waiters asks the store on behalf of all.
    polled: AtomicBool,
}

impl Wakers {
    /// Joins those who wait for `id`.
    pub(crate) fn join(&self, id: RecordId) -> Waiter<'_> {
        let mut entries = self.lock();
        let entry = entries.entry(id).or_default();
        entry.waiters += 1;
        let waited = Arc::clone(&entry.waited);
        Waiter {
            wakers: self,
            id,
            waited,
            polls: false,
        }
    }

    /// Wakes those who wait for `id`: its execution has ended.
    pub(crate) fn wake(&self, id: &RecordId) {
        if let Some(entry) = self.lock().get(id) {
            entry.waited.settled.notify_waiters();
        }
    }

    /// The map is changed in single steps, so a panic elsewhere cannot leave it half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<RecordId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait for a key; given up when dropped.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    wakers: &'a Wakers,
    id: RecordId,
    pub(crate) waited: Arc<Waited>,
    polls: bool,
}

impl Waiter<'_> {
    /// Becomes the one who asks the store, if nobody is.
    pub(crate) fn polls(&mut self) -> bool {
        self.polls = self.polls || !self.waited.polled.swap(true, Ordering::AcqRel);
        self.polls
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.polls {
            self.waited.polled.store(false, Ordering::Release);
            // Somebody else has to ask from now on: let all look again.
            self.waited.settled.notify_waiters();
        }
        let mut entries = self.wakers.lock();
        if let Some(entry) = entries.get_mut(&self.id) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                entries.remove(&self.id);
            }
        }
    }
}

//! Waking duplicates that wait for an execution.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;
use tower_idempotency_core::RecordId;

/// The keys that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    state: Mutex<State>,
    /// How many wait. Every execution that ends looks here, and most need not look further.
    waiters: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<RecordId, Entry>,
    /// Whether somebody asks the store about all of them.
    polling: bool,
}

#[derive(Debug, Default)]
struct Entry {
    waiters: usize,
    ended: Arc<Notify>,
}

impl Wakers {
    /// Joins those who wait for `id`.
    pub(crate) fn join(&self, id: RecordId) -> Waiter<'_> {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let mut state = self.lock();
        let entry = state.entries.entry(id).or_default();
        entry.waiters += 1;
        Waiter {
            wakers: self,
            id,
            ended: Arc::clone(&entry.ended),
        }
    }

    /// Wakes those who wait for `id`: its execution has ended.
    ///
    /// Whoever joins later than this looks asks the store later than the end, too.
    pub(crate) fn wake(&self, id: &RecordId) {
        if self.waiters.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(entry) = self.lock().entries.get(id) {
            entry.ended.notify_waiters();
        }
    }

    /// Returns true to whoever shall ask the store from now on.
    pub(crate) fn begins_polling(&self) -> bool {
        !std::mem::replace(&mut self.lock().polling, true)
    }

    /// Returns all keys that somebody waits for; `None` ends the polling, since nobody does.
    pub(crate) fn waited_for(&self) -> Option<Vec<RecordId>> {
        let mut state = self.lock();
        state.polling = !state.entries.is_empty();
        state
            .polling
            .then(|| state.entries.keys().copied().collect())
    }

    /// The state is changed in single steps, so a panic elsewhere cannot leave it half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait for a key; given up when dropped.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    wakers: &'a Wakers,
    id: RecordId,
    pub(crate) ended: Arc<Notify>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.wakers.waiters.fetch_sub(1, Ordering::SeqCst);
        let mut state = self.wakers.lock();
        if let Some(entry) = state.entries.get_mut(&self.id) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                state.entries.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tower_idempotency_core::{IdempotencyKey, Scope};

    use super::*;

    fn id(key: &str) -> RecordId {
        let key = IdempotencyKey::new(key).unwrap();
        RecordId::new(&Scope::new("alice", "POST /payments"), &key)
    }

    #[test]
    fn one_polls_as_long_as_somebody_waits() {
        let wakers = Wakers::default();
        let first = wakers.join(id("a"));
        assert!(wakers.begins_polling());
        let second = wakers.join(id("a"));
        let other = wakers.join(id("b"));
        assert!(!wakers.begins_polling());
        assert_eq!(wakers.waited_for().map(|ids| ids.len()), Some(2));
        drop((first, other));
        assert_eq!(wakers.waited_for(), Some(vec![id("a")]));
        drop(second);
        assert_eq!(wakers.waited_for(), None);
        let _again = wakers.join(id("a"));
        assert!(wakers.begins_polling());
    }
}

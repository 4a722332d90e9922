//! The journal, with numbers for what has a beginning and an end.

use std::sync::atomic::{AtomicU64, Ordering};

use chaos::{CallResult, Journal, Seen, Verb};

/// What this process writes down.
#[derive(Debug)]
pub(crate) struct Notes {
    journal: Journal,
    next: AtomicU64,
}

impl Notes {
    pub(crate) const fn new(journal: Journal) -> Self {
        Self {
            journal,
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn note(&self, seen: Seen) {
        self.journal.note(seen);
    }

    /// Returns a number that no other call or run of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes the beginning and the end of a call.
    pub(crate) async fn call<T>(
        &self,
        verb: Verb,
        identity: &Identity,
        call: impl Future<Output = T>,
        read: impl FnOnce(&T) -> CallResult,
    ) -> T {
        let number = self.number();
        self.note(Seen::CallBegins {
            call: number,
            verb,
            key: identity.key.clone(),
            token: identity.token.clone(),
        });
        let output = call.await;
        self.note(Seen::CallEnds {
            call: number,
            result: read(&output),
        });
        output
    }
}

/// Which execution something belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) key: String,
    pub(crate) token: String,
}

//! What is not known.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the requests of an operation whose outcome is not known.
///
/// A count, since clones of one operation can be sent at the same time: one that is settled says
/// nothing of the others. A request whose future is dropped is never settled, and stays in doubt.
#[derive(Debug, Default)]
pub(crate) struct Doubt(AtomicUsize);

impl Doubt {
    /// Begins with a request of which nothing is known but that it may have been sent.
    pub(crate) const fn with_one() -> Self {
        Self(AtomicUsize::new(1))
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// Notes that a request is about to be sent.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that one request was not carried out, or that its answer is known.
    pub(crate) fn settle_one(&self) {
        let less = |count: usize| Some(count.saturating_sub(1));
        let _ = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    }

    /// Notes that the operation has its answer, whichever request carried it out.
    pub(crate) fn settle_all(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

//! What all layers made from one builder have in common while they run.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::task::TaskTracker;

use crate::wake::Wakers;

/// The running executions, the sweeper and the waiters.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    pub(crate) tracker: TaskTracker,
    pub(crate) wakers: Wakers,
    sweeping: AtomicBool,
}

impl Runtime {
    /// Returns true once: to whoever shall start the sweeper.
    pub(crate) fn begins_sweeping(&self) -> bool {
        // The plain load keeps the common path free of writes to a shared line.
        !self.sweeping.load(Ordering::Relaxed) && !self.sweeping.swap(true, Ordering::Relaxed)
    }
}

//! What all layers made from one builder have in common while they run.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::task::TaskTracker;

use crate::{cache::ReplayCache, wake::Wakers};

/// The running executions, the sweeper, the waiters and the cache.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    pub(crate) tracker: TaskTracker,
    pub(crate) wakers: Wakers,
    sweeping: AtomicBool,
    cache: OnceLock<Arc<ReplayCache>>,
}

impl Runtime {
    /// Returns the one cache of all these layers, which is as large as the first one made it.
    pub(crate) fn cache(&self, bytes: usize) -> Arc<ReplayCache> {
        let cache = self.cache.get_or_init(|| Arc::new(ReplayCache::new(bytes)));
        Arc::clone(cache)
    }

    /// Returns true once: to whoever shall start the sweeper.
    pub(crate) fn begins_sweeping(&self) -> bool {
        // The plain load keeps the common path free of writes to a shared line.
        !self.sweeping.load(Ordering::Relaxed) && !self.sweeping.swap(true, Ordering::Relaxed)
    }
}

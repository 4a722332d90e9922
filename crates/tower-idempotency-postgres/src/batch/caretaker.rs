//! Closes what the lanes keep open when nobody uses it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tower_idempotency_batch::{Batcher, WeakBatcher};

use super::backend::Lanes;

/// How often connections that nobody uses are looked at.
const INTERVAL: Duration = Duration::from_secs(30);

/// How soon after the pool was closed: a lane may have had its connection still in use then.
const SOON: Duration = Duration::from_millis(10);

/// Closes idle connections when the pool is closed, and those that a pool would not keep.
///
/// There is one task for it at most. It does not keep the store alive, and another one takes its
/// place if its runtime ends.
#[derive(Debug, Default)]
pub(super) struct Caretaker {
    is_there: AtomicBool,
}

impl Caretaker {
    /// Starts the task, if it is not there.
    pub(super) fn see_to(self: &Arc<Self>, batcher: &Batcher<Lanes>) {
        if self.is_there.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.is_there.swap(true, Ordering::Relaxed) {
            let leaving = Leaving(Arc::clone(self));
            runtime.spawn(look_after(batcher.downgrade(), leaving));
        }
    }
}

/// Says that the task is gone, however it ends.
struct Leaving(Arc<Caretaker>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.is_there.store(false, Ordering::Relaxed);
    }
}

async fn look_after(batcher: WeakBatcher<Lanes>, _leaving: Leaving) {
    let mut pause = SOON;
    loop {
        // While this waits it does not hold the batcher, whose end closes all connections.
        let Some(pool) = batcher.upgrade().map(|it| it.backend().pool.clone()) else {
            return;
        };
        if pool.is_closed() {
            drop(pool);
            sleep(pause).await;
            pause = (pause * 2).min(INTERVAL);
        } else {
            let closing = pool.close_event();
            drop(pool);
            drop(timeout(INTERVAL, closing).await);
        }
        let Some(batcher) = batcher.upgrade() else {
            return;
        };
        let pool = &batcher.backend().pool;
        let bad = batcher.take_idle(|connection| !connection.is_good(pool));
        for connection in bad {
            connection.close().await;
        }
    }
}

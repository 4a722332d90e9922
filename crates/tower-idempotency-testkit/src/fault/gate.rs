use std::sync::Arc;

use tokio::sync::Semaphore;

/// A gate at which calls of a verb wait, so that a test can stage a race without sleeping.
#[derive(Clone, Debug)]
pub struct Gate {
    arrivals: Arc<Semaphore>,
    passes: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            arrivals: Arc::new(Semaphore::new(0)),
            passes: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits until one more call has come to the gate.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the arrival to be seen by the next call.
    pub async fn arrived(&self) {
        if let Ok(arrival) = self.arrivals.acquire().await {
            arrival.forget();
        }
    }

    /// Lets one call pass, now or when it comes.
    pub fn pass_one(&self) {
        self.passes.add_permits(1);
    }

    /// Lets all calls pass, from now on.
    pub fn open(&self) {
        self.passes.close();
    }

    pub(crate) async fn enter(&self) {
        self.arrivals.add_permits(1);
        // A closed semaphore is an open gate.
        if let Ok(pass) = self.passes.acquire().await {
            pass.forget();
        }
    }
}

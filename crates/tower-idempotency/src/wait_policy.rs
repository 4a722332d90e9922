use std::time::Duration;

use tower_idempotency_core::ConfigError;

/// Waiting for the first request's answer instead of 409.
///
/// A waiter holds no connection of the store's.
/// The end of an execution in the same process wakes it at once; for executions elsewhere,
/// one task of the process asks the store now and then, about all keys that are waited for.
///
/// A waiter whose client has left keeps its place until its time is over,
/// and runs the handler if the key becomes free: it was asked for, and a retry finds its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct WaitPolicy {
    /// How long a duplicate waits at most before it is answered 409. No default:
    /// choose less than the time-outs of clients and proxies in front.
    pub at_most: Duration,
    /// How many duplicates may wait at a time in this process; further ones get 409 at once.
    /// Default: 1,000. Each waiter holds its request's body.
    pub waiters: usize,
    /// The pause between two questions to the store, lengthened by up to a quarter
    /// at random. Default: 100 ms.
    pub poll_every: Duration,
}

impl WaitPolicy {
    /// Waits at most so long.
    #[must_use]
    pub const fn at_most(at_most: Duration) -> Self {
        Self {
            at_most,
            waiters: 1_000,
            poll_every: Duration::from_millis(100),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |setting, value, must| Err(ConfigError::new(setting, value, must));
        if self.at_most.is_zero() || self.at_most > Duration::from_secs(600) {
            let value = format!("{:?}", self.at_most);
            return refuse(
                "wait.at_most",
                value,
                "must be more than 0 and at most 600s",
            );
        }
        if self.waiters == 0 {
            return refuse("wait.waiters", "0".to_owned(), "must be at least 1");
        }
        if self.poll_every < Duration::from_millis(1) {
            let value = format!("{:?}", self.poll_every);
            return refuse("wait.poll_every", value, "must be at least 1ms");
        }
        Ok(())
    }
}

//! How long and how often to try.

use std::{num::NonZeroU32, time::Duration};

/// How long and how often to try, and how long to wait between two tries.
///
/// Before try `n + 1` the client waits as long as `Retry-After` asks, plus a random time between
/// nothing and `first_pause * 2^(n - 1)`, at most `longest_pause` (full jitter). There is no
/// setting without jitter: clients that lost one server at the same moment must not come back at
/// the same moment.
///
/// # Example
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
/// use tower_idempotency_client::RetryPolicy;
///
/// // Somebody waits in front of it.
/// let policy = RetryPolicy::new()
///     .total(Duration::from_secs(10))
///     .per_try(Duration::from_secs(3));
/// // Leaves retries to somebody else, such as a queue that stores its operations.
/// let once = RetryPolicy::new().max_tries(NonZeroU32::MIN);
/// # let _ = (policy, once);
/// ```
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    pub(crate) total: Duration,
    pub(crate) max_tries: Option<NonZeroU32>,
    pub(crate) per_try: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
}

impl RetryPolicy {
    /// Tries for a minute: tries of at most 20 seconds, pauses below 0.3 seconds at first and 8
    /// seconds later on.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            total: Duration::from_secs(60),
            max_tries: None,
            per_try: Duration::from_secs(20),
            first_pause: Duration::from_millis(300),
            longest_pause: Duration::from_secs(8),
        }
    }

    /// Sets when to stop, tries and pauses included. Default: 60 seconds.
    ///
    /// A try that could not begin in time is not begun, and one that runs is cut off. So a
    /// `Retry-After` that is too long ends it at once.
    ///
    /// Longer for what must get through, but far shorter than the server keeps its keys; shorter
    /// where somebody waits. If it is too short, a server that restarts makes it fail.
    #[must_use]
    pub const fn total(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Sets how many tries there are at most. Default: as many as there is time for.
    #[must_use]
    pub const fn max_tries(mut self, tries: NonZeroU32) -> Self {
        self.max_tries = Some(tries);
        self
    }

    /// Sets how long one try may take until its answer is there. Default: 20 seconds.
    ///
    /// Longer for large uploads and slow handlers: what is cut off goes on at the server, and the
    /// next try is told that it is in progress. If it is too long, a connection that is dead
    /// uses up the whole time.
    #[must_use]
    pub const fn per_try(mut self, per_try: Duration) -> Self {
        self.per_try = per_try;
        self
    }

    /// Sets the longest first pause. Default: 300 milliseconds. Each one may be twice as long as
    /// the one before.
    #[must_use]
    pub const fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// Sets the longest pause that the client chooses by itself. Default: 8 seconds.
    #[must_use]
    pub const fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Returns the bound of the pause after this many tries.
    fn bound(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        self.first_pause
            .saturating_mul(1 << doublings)
            .min(self.longest_pause)
    }

    /// Draws the pause after this many tries.
    pub(crate) fn pause(&self, tries: u32, retry_after: Duration) -> Duration {
        let own = self.bound(tries).mul_f64(fastrand::f64());
        retry_after.saturating_add(own)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_longest() {
        let policy = RetryPolicy::new();
        let bounds: Vec<u128> = [1, 2, 5, 6, 100, u32::MAX]
            .map(|tries| policy.bound(tries).as_millis())
            .into();
        assert_eq!(bounds, [300, 600, 4_800, 8_000, 8_000, 8_000]);
    }

    #[test]
    fn a_pause_is_random_and_never_shorter_than_what_the_server_asks() {
        let policy = RetryPolicy::new();
        let asked = Duration::from_secs(2);
        let pauses: Vec<Duration> = (0..100).map(|_| policy.pause(1, asked)).collect();
        let longest = asked + policy.first_pause;
        assert!(pauses.iter().all(|pause| (asked..longest).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}

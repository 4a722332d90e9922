use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tower_idempotency_core::Clock;

/// A clock that stands still until it is told how much time has passed.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency_core::Clock;
/// use tower_idempotency_testkit::ManualClock;
///
/// let clock = ManualClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(clock.now(), before + Duration::from_secs(30));
/// ```
#[derive(Debug)]
pub struct ManualClock(Mutex<SystemTime>);

impl ManualClock {
    /// Starts at a fixed instant in the year 2001.
    #[must_use]
    pub fn new() -> Self {
        Self(Mutex::new(
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
        ))
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        *self.lock() += by;
    }

    /// A time is written in one step, so one left by a thread that panicked is whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.lock()
    }
}

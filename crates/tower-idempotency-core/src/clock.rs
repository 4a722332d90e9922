//! Time, injected.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

/// A source of the present time for stores that have no clock of their own.
///
/// A database judges leases by its own clock and needs none of this.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the present time. It must never go backwards.
    fn now(&self) -> SystemTime;
}

/// The machine's clock, read once and then counted on by the monotonic clock.
///
/// A step of the wall clock therefore neither ends nor prolongs a lease.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    wall: SystemTime,
    started: Instant,
}

impl SystemClock {
    /// Reads the wall clock and starts counting.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that is injected everywhere else"
    )]
    pub fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        self.wall
            .checked_add(self.started.elapsed())
            .unwrap_or(SystemTime::UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
    }
}

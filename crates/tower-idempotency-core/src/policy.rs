//! Decisions that a user makes once and a store carries out.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What happens to a key whose lease ran out without an end: the process died, or stalled.
///
/// The handler may have run in whole, in part, or not at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CrashPolicy {
    /// The next request with the key runs the handler again. The default.
    ///
    /// Choose it where running again is harmless, or where the handler can see what it did before.
    #[default]
    Retry,
    /// The key answers "outcome unknown" until an operator resolves it.
    ///
    /// Choose it where a second run costs more than a person's attention.
    /// Such a record does not expire while it is unresolved.
    Hold,
}

/// How long a record is kept after its execution ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store must handle every case")]
pub enum Retention {
    /// Keeps the record for this long, counted from the end of the execution.
    /// Replays do not extend it.
    For(Duration),
    /// Never forgets the record: for keys that must not run a second time, ever.
    Forever,
}

impl Retention {
    /// Seven days: the default for completed records.
    pub const COMPLETED: Self = Self::For(DAY.saturating_mul(7));
    /// One day: the default for failed records.
    pub const FAILED: Self = Self::For(DAY);

    /// Returns the time, or `None` for [`Retention::Forever`].
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::For(duration) => Some(duration),
            Self::Forever => None,
        }
    }

    /// Returns the time in milliseconds, as stores in SQL want it, or `None` for `Forever`.
    ///
    /// Times beyond a thousand years are cut there, which every database's timestamps can hold.
    #[must_use]
    pub fn milliseconds(self) -> Option<i64> {
        const LONGEST: i64 = 1_000 * 366 * 24 * 60 * 60 * 1_000;
        let duration = self.duration()?;
        Some(i64::try_from(duration.as_millis()).map_or(LONGEST, |ms| ms.min(LONGEST)))
    }
}

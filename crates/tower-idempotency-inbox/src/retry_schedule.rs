use std::time::Duration;

use tower_idempotency::ConfigError;

/// When a delivery that failed transiently is tried again.
///
/// The pause doubles with each attempt up to a cap, and its length is drawn at random between
/// nothing and that ("full jitter"), so that what failed together does not come back together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RetrySchedule {
    /// The longest pause behind the first attempt. Default: 5 s.
    pub first: Duration,
    /// The longest pause behind any attempt. Default: one hour.
    pub cap: Duration,
    /// How many attempts a delivery has, the first included, before it is a dead letter.
    /// Default: 12, which takes about six hours on average.
    ///
    /// Choose it so that an outage of what the handler needs is outlived.
    pub attempts: u32,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            cap: Duration::from_secs(60 * 60),
            attempts: 12,
        }
    }
}

impl RetrySchedule {
    /// Makes a schedule of so many attempts, with pauses from `first` up to `cap`.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration, attempts: u32) -> Self {
        Self {
            first,
            cap,
            attempts,
        }
    }

    /// Returns the longest pause behind this attempt, counted from 1.
    #[must_use]
    pub fn longest_pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.cap)
    }

    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        self.longest_pause(attempt).mul_f64(fastrand::f64())
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.attempts == 0 {
            let must = "must be at least 1";
            return Err(ConfigError::new("retry.attempts", "0", must));
        }
        let day = Duration::from_secs(24 * 60 * 60);
        if self.first > self.cap || self.cap > day {
            let value = format!("{:?}", self.cap);
            let must = "must be at least `retry.first` and at most a day";
            return Err(ConfigError::new("retry.cap", value, must));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let schedule = RetrySchedule::new(Duration::from_secs(1), Duration::from_secs(5), 9);
        let pauses = [1, 2, 3, 4, 100].map(|attempt| schedule.longest_pause(attempt).as_secs());
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn jitter_spreads_over_the_whole_pause() {
        let schedule = RetrySchedule::default();
        let longest = schedule.longest_pause(3);
        let drawn: Vec<_> = (0..200).map(|_| schedule.pause(3)).collect();
        assert!(drawn.iter().all(|pause| *pause <= longest));
        assert!(drawn.iter().any(|pause| *pause < longest / 4));
        assert!(drawn.iter().any(|pause| *pause > longest * 3 / 4));
    }

    #[test]
    fn no_attempt_at_all_is_refused() {
        let none = RetrySchedule::new(Duration::ZERO, Duration::ZERO, 0);
        assert_eq!(none.validate().unwrap_err().setting(), "retry.attempts");
    }
}

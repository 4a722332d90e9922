use std::time::Duration;

use tower_idempotency_core::ConfigError;

/// Running a request again whose transaction met another one.
///
/// For a transactional store: when the database gives up a transaction because it met another one
/// (a serialization failure or a deadlock), nothing of it has happened, and the layer can run the
/// handler again with the same request, after a pause.
/// Effects outside the transaction are repeated with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConflictPolicy {
    /// How often a request is run again at most. No default.
    pub retries: u32,
    /// The pause before the first of them; it doubles with each, and is shortened by up to a half
    /// at random. Default: 10 ms.
    pub first_pause: Duration,
}

impl ConflictPolicy {
    /// Runs a request again at most so often.
    #[must_use]
    pub const fn retries(retries: u32) -> Self {
        Self {
            retries,
            first_pause: Duration::from_millis(10),
        }
    }

    /// Returns the pause before the retry of this number, counted from 0.
    pub(crate) fn pause(&self, retry: u32) -> Duration {
        let longest = self.first_pause.saturating_mul(1 << retry.min(10));
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.retries > 100 {
            let value = self.retries.to_string();
            let must = "must be at most 100";
            return Err(ConfigError::new("retry_conflicts.retries", value, must));
        }
        if self.first_pause > Duration::from_secs(1) {
            let value = format!("{:?}", self.first_pause);
            let must = "must be at most 1s";
            return Err(ConfigError::new("retry_conflicts.first_pause", value, must));
        }
        Ok(())
    }
}

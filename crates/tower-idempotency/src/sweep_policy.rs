use std::time::Duration;

use tower_idempotency_core::ConfigError;

/// How often expired records are deleted, and how many at a time.
///
/// Sweeping runs in every process that uses the layer, from its first keyed request on;
/// the store lets one process at a time do the work.
/// Late or no sweeping costs room, never correctness: an expired record counts as absent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SweepPolicy {
    /// The pause between two rounds, lengthened by up to a quarter at random.
    /// Default: one minute.
    /// A round goes on until nothing is waiting; after each batch it rests twice as long as that
    /// took, and 10 ms at least, so that other work goes on beside it.
    pub every: Duration,
    /// How many records one statement deletes. Default: 1,000.
    /// Large batches hold locks longer; small ones take more round trips, and a round deletes no
    /// more than a hundred of them in a second.
    pub batch: u32,
}

impl Default for SweepPolicy {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(60),
            batch: 1_000,
        }
    }
}

impl SweepPolicy {
    /// Sweeps at this pace, in batches of the default size.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        Self {
            every,
            ..Self::default()
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.every < Duration::from_millis(10) {
            let value = format!("{:?}", self.every);
            return Err(ConfigError::new(
                "sweep.every",
                value,
                "must be at least 10ms",
            ));
        }
        if self.batch == 0 {
            return Err(ConfigError::new("sweep.batch", "0", "must be at least 1"));
        }
        Ok(())
    }
}

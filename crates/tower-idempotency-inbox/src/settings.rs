use std::time::Duration;

use http::HeaderName;
use tower_idempotency::ConfigError;

use crate::{ReplayLimit, RetrySchedule, verdict::Classify};

/// What an inbox was set up with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) classify: Classify,
    pub(crate) retry: RetrySchedule,
    pub(crate) lease: Duration,
    pub(crate) max_request_bytes: usize,
    pub(crate) replay: ReplayLimit,
    pub(crate) retention: Duration,
    pub(crate) poll: Duration,
    pub(crate) concurrency: usize,
    pub(crate) forbidden_headers: Result<Vec<HeaderName>, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            classify: Classify::default(),
            retry: RetrySchedule::default(),
            lease: Duration::from_secs(30),
            max_request_bytes: 1024 * 1024,
            replay: ReplayLimit::default(),
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            poll: Duration::from_secs(1),
            concurrency: 8,
            forbidden_headers: Ok(Vec::new()),
        }
    }
}

impl Settings {
    /// How long others leave an attempt alone.
    ///
    /// Longer than the lease: whoever looks after it then can take it over, as a rule.
    /// Nothing depends on that, since the lease alone decides who may run.
    pub(crate) fn patience(&self) -> Duration {
        self.lease.mul_f64(1.25)
    }

    pub(crate) fn forbidden_headers(&self) -> &[HeaderName] {
        self.forbidden_headers.as_deref().unwrap_or_default()
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.retry.validate()?;
        if let Err(name) = &self.forbidden_headers {
            let must = "must be a valid header name";
            return Err(ConfigError::new("forget_header", format!("{name:?}"), must));
        }
        if self.concurrency == 0 {
            return Err(ConfigError::new("concurrency", "0", "must be at least 1"));
        }
        let ten_ms = Duration::from_millis(10);
        let hour = Duration::from_secs(60 * 60);
        for (setting, value, least) in [
            ("poll", self.poll, ten_ms),
            ("retention", self.retention, hour),
        ] {
            if value < least {
                let must = format!("must be at least {least:?}");
                return Err(ConfigError::new(setting, format!("{value:?}"), must));
            }
        }
        Ok(())
    }
}

//! Everything a layer was told.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, Method, request::Parts};
use tower_idempotency_core::{
    ClaimRequest, ConfigError, CrashPolicy, FingerprintPolicy, KeyFormat, KeySyntax, Retention,
    StoreLimits,
};

use crate::{
    ConflictPolicy, IssuedKeys, KeySource, Principal, ProblemRenderer, ReplayedHeaders,
    ResponseHeaders, Stored, SweepPolicy, WaitPolicy, outcome::OutcomeHook, scope_rule::ScopeRule,
};

/// The page that the problem documents link to, unless the user names one of their own.
pub(crate) const DOCS_URL: &str =
    "https://docs.rs/tower-idempotency/latest/tower_idempotency/enum.ProblemCode.html";
const MIB: usize = 1024 * 1024;
/// Room for about thirty thousand responses of a kilobyte.
const CACHE_BYTES: usize = 32 * MIB;
/// Longer than most clients wait between two tries, shorter than an operator waits for an effect.
const CACHE_STALENESS: Duration = Duration::from_secs(10);

type Predicate = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Skip(pub(crate) Predicate);

impl fmt::Debug for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<fn>")
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: Arc<str>,
    pub(crate) principal: Principal,
    pub(crate) scope: ScopeRule,
    pub(crate) methods: Vec<Method>,
    pub(crate) skip: Option<Skip>,
    pub(crate) key_sources: Vec<KeySource>,
    pub(crate) key_syntax: KeySyntax,
    pub(crate) key_format: KeyFormat,
    pub(crate) issued: Option<IssuedKeys>,
    pub(crate) fingerprint: FingerprintPolicy,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_response_bytes: usize,
    pub(crate) lease: Duration,
    pub(crate) crash_policy: CrashPolicy,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) conflicts: Option<ConflictPolicy>,
    pub(crate) stored: Stored,
    pub(crate) retention: Retention,
    pub(crate) failed_retention: Retention,
    pub(crate) replayed_headers: ReplayedHeaders,
    pub(crate) response_headers: ResponseHeaders,
    pub(crate) renderer: ProblemRenderer,
    pub(crate) docs_url: Result<HeaderValue, String>,
    pub(crate) fail_open: bool,
    pub(crate) wait: Option<WaitPolicy>,
    pub(crate) sweep: Option<SweepPolicy>,
    pub(crate) cache_bytes: usize,
    pub(crate) cache_staleness: Duration,
    pub(crate) cache_completions: bool,
    pub(crate) hook: Option<OutcomeHook>,
}

impl Settings {
    pub(crate) fn new(principal: Principal) -> Self {
        Self {
            namespace: Arc::from(""),
            principal,
            scope: ScopeRule::default(),
            methods: vec![Method::POST, Method::PATCH],
            skip: None,
            key_sources: vec![KeySource::idempotency_key()],
            key_syntax: KeySyntax::default(),
            key_format: KeyFormat::default(),
            issued: None,
            fingerprint: FingerprintPolicy::default(),
            max_request_bytes: MIB,
            max_response_bytes: MIB,
            lease: ClaimRequest::DEFAULT_LEASE,
            crash_policy: CrashPolicy::default(),
            max_attempts: None,
            conflicts: None,
            stored: Stored::default(),
            retention: Retention::COMPLETED,
            failed_retention: Retention::FAILED,
            replayed_headers: ReplayedHeaders::default(),
            response_headers: ResponseHeaders::default(),
            renderer: ProblemRenderer::default(),
            docs_url: Ok(HeaderValue::from_static(DOCS_URL)),
            fail_open: false,
            wait: None,
            sweep: Some(SweepPolicy::default()),
            cache_bytes: CACHE_BYTES,
            cache_staleness: CACHE_STALENESS,
            cache_completions: false,
            hook: None,
        }
    }

    /// Tells whether anything can come out of a cache.
    pub(crate) const fn caches(&self) -> bool {
        self.cache_bytes > 0 && !self.cache_staleness.is_zero()
    }

    /// Refuses what cannot work.
    pub(crate) fn validate(&self, limits: &StoreLimits) -> Result<(), ConfigError> {
        self.principal.validate()?;
        self.response_headers.validate()?;
        self.renderer.validate()?;
        if self.key_sources.is_empty() {
            return Err(ConfigError::new("key_sources", "[]", "must name a source"));
        }
        self.key_sources.iter().try_for_each(KeySource::validate)?;
        self.issued.as_ref().map_or(Ok(()), IssuedKeys::validate)?;
        if self.max_attempts == Some(0) {
            let must = "must be at least 1, or nothing would ever run";
            return Err(ConfigError::new("max_attempts", "0", must));
        }
        if let Some(conflicts) = &self.conflicts {
            conflicts.validate()?;
        }
        self.validate_times(limits)?;
        self.validate_sizes(limits)?;
        if let Err(url) = &self.docs_url {
            let must = "must be an absolute http or https URL without a fragment";
            return Err(ConfigError::new("docs_url", format!("{url:?}"), must));
        }
        Ok(())
    }

    fn validate_times(&self, limits: &StoreLimits) -> Result<(), ConfigError> {
        let lease = Duration::from_millis(10)..=limits.max_lease;
        if !lease.contains(&self.lease) {
            let must = format!("must be between {:?} and {:?}", lease.start(), lease.end());
            return Err(ConfigError::new("lease", format!("{:?}", self.lease), must));
        }
        for (setting, retention) in [
            ("retention", self.retention),
            ("failed_retention", self.failed_retention),
        ] {
            if retention
                .duration()
                .is_some_and(|time| time < Duration::from_millis(1))
            {
                let must = "must be at least 1ms; a key that is forgotten at once protects nothing";
                return Err(ConfigError::new(setting, format!("{retention:?}"), must));
            }
        }
        if let Some(wait) = &self.wait {
            wait.validate()?;
        }
        self.sweep.as_ref().map_or(Ok(()), SweepPolicy::validate)
    }

    fn validate_sizes(&self, limits: &StoreLimits) -> Result<(), ConfigError> {
        if self.max_response_bytes as u64 > limits.max_response_bytes {
            let must = format!(
                "must be at most {}, which is what the store holds",
                limits.max_response_bytes
            );
            let value = self.max_response_bytes.to_string();
            return Err(ConfigError::new("max_response_bytes", value, must));
        }
        Ok(())
    }
}

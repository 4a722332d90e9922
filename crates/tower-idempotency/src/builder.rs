use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Uri, request::Parts};
use tower_idempotency_core::{
    ConfigError, CrashPolicy, FingerprintPolicy, KeyFormat, KeySyntax, Retention, Scope, Store,
};

use crate::{
    ConflictPolicy, IdempotencyLayer, IssuedKeys, KeySource, Outcome, Principal, ProblemRenderer,
    ReplayedHeaders, ResponseHeaders, Stored, SweepPolicy, WaitPolicy,
    outcome::OutcomeHook,
    runtime::Runtime,
    scope_rule::ScopeRule,
    settings::{Settings, Skip},
    shared::Shared,
};

/// Sets up an [`IdempotencyLayer`].
///
/// Nothing is checked before [`build`](Self::build), which refuses what cannot work.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{CrashPolicy, IdempotencyLayer, Principal, Retention};
/// use tower_idempotency_memory::MemoryStore;
///
/// let layer = IdempotencyLayer::builder(MemoryStore::new(), Principal::header("x-user"))
///     .lease(Duration::from_secs(10))
///     .crash_policy(CrashPolicy::Hold)
///     .retention(Retention::For(Duration::from_secs(24 * 60 * 60)))
///     .build()?;
///
/// let refused = IdempotencyLayer::builder(MemoryStore::new(), Principal::public())
///     .lease(Duration::ZERO)
///     .build();
/// assert_eq!(refused.unwrap_err().setting(), "lease");
/// # Ok::<(), tower_idempotency::ConfigError>(())
/// ```
#[must_use = "call `build` to get the layer"]
pub struct IdempotencyLayerBuilder<St> {
    store: Arc<St>,
    runtime: Arc<Runtime>,
    settings: Settings,
}

impl<St: Store> IdempotencyLayerBuilder<St> {
    pub(crate) fn new(store: Arc<St>, principal: Principal) -> Self {
        Self {
            store,
            runtime: Arc::default(),
            settings: Settings::new(principal),
        }
    }

    pub(crate) fn from_shared(shared: &Shared<St>) -> Self {
        Self {
            store: Arc::clone(&shared.store),
            runtime: Arc::clone(&shared.runtime),
            settings: Settings::clone(&shared.settings),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the setting, its value and what it must be: a lease that is zero
    /// or longer than the store allows, a response cap above what the store holds, a header name
    /// that is none, an empty list of sources, ..
    pub fn build(self) -> Result<IdempotencyLayer<St>, ConfigError> {
        self.settings.validate(&self.store.limits())?;
        Ok(IdempotencyLayer::from_shared(Shared::new(
            self.store,
            self.runtime,
            self.settings,
        )))
    }

    /// Keeps the keys of this service apart from others in the same table. Default: unnamed.
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.settings.namespace = namespace.into();
        self
    }

    /// Lets a key belong to its principal on all routes.
    ///
    /// The same key on another route is then a reuse (422) instead of another operation.
    /// Default: a key belongs to its principal on one route.
    pub fn scope_by_principal_only(mut self) -> Self {
        self.settings.scope = ScopeRule::PrincipalOnly;
        self
    }

    /// Computes the scope from the principal and the head of the request; `None` refuses with 403.
    pub fn scope_from_fn(
        mut self,
        rule: impl Fn(&str, &Parts) -> Option<Scope> + Send + Sync + 'static,
    ) -> Self {
        self.settings.scope = ScopeRule::Function(Arc::new(rule));
        self
    }

    /// Covers these methods; an empty list switches the layer off. Default: POST and PATCH.
    ///
    /// PUT and DELETE are idempotent by themselves, but their answers are not:
    /// cover them where a retried DELETE must not answer 404.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.settings.methods = methods.into_iter().collect();
        self
    }

    /// Lets requests through untouched for which `skip` is true. Default: none.
    pub fn skip(mut self, skip: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.settings.skip = Some(Skip(Arc::new(skip)));
        self
    }

    /// Looks for the key in these places, in this order; the first that yields one wins.
    /// Default: the header `Idempotency-Key`.
    pub fn key_sources(mut self, sources: impl IntoIterator<Item = KeySource>) -> Self {
        self.settings.key_sources = sources.into_iter().collect();
        self
    }

    /// Accepts structured-field strings only (`"k"`), or bare values too. Default: both.
    ///
    /// Nearly every client sends a bare UUID, which the expired I-D -07 does not allow.
    pub fn key_syntax(mut self, syntax: KeySyntax) -> Self {
        self.settings.key_syntax = syntax;
        self
    }

    /// Asks for keys of one format. Default: any.
    pub fn key_format(mut self, format: KeyFormat) -> Self {
        self.settings.key_format = format;
        self
    }

    /// Serves only keys that the service has issued, each of them once. Default: clients make them.
    ///
    /// A key is then [required](IdempotencyLayer::required), and asked of the issuer before it is
    /// claimed; gRPC and upgrades do not pass by. See [`IssuedKeys`].
    pub fn issued_keys(mut self, keys: IssuedKeys) -> Self {
        self.settings.issued = Some(keys);
        self
    }

    /// Chooses what makes two requests the same. Default: method, path, query, content type, body.
    pub fn fingerprint(mut self, policy: FingerprintPolicy) -> Self {
        self.settings.fingerprint = policy;
        self
    }

    /// Reads request bodies up to this size; larger ones get 413. Default: 1 MiB.
    ///
    /// The body of a keyed request is held in memory while its handler runs.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_request_bytes = bytes;
        self
    }

    /// Keeps response bodies up to this size; of larger ones only a tombstone. Default: 1 MiB.
    pub fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_response_bytes = bytes;
        self
    }

    /// Gives each execution a lease of this length, renewed at a third of it. Default: 30 s.
    ///
    /// It is how long a key stays blocked after its process died, and how long a process may
    /// stall before another one may take its key over. At least 10 ms; below a few seconds,
    /// a busy machine or a slow store can lose leases of healthy executions.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Says what happens to a key whose execution ended without a trace. Default: `Retry`.
    pub fn crash_policy(mut self, policy: CrashPolicy) -> Self {
        self.settings.crash_policy = policy;
        self
    }

    /// Executes a key at most so often, counted over failures and crashes. Default: without bound.
    ///
    /// After that a key whose last attempt failed is answered 409 `ATTEMPTS_EXHAUSTED`, and one
    /// whose last attempt ended without a trace 409 `OUTCOME_UNKNOWN`, until the record expires or
    /// an operator resolves it with [`Store::resolve`]. 0 is refused.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = Some(attempts);
        self
    }

    /// Runs a request again whose transaction met another one. Default: not.
    ///
    /// Only a transactional store has transactions to run again.
    /// Without it, and after the last retry, the client is answered 503
    /// `TRANSACTION_ROLLED_BACK`, or what the handler has made of the failed statement; it can
    /// retry by itself.
    pub fn retry_conflicts(mut self, policy: ConflictPolicy) -> Self {
        self.settings.conflicts = Some(policy);
        self
    }

    /// Chooses which responses are kept. Default: see [`Stored`].
    pub fn stored(mut self, stored: Stored) -> Self {
        self.settings.stored = stored;
        self
    }

    /// Keeps completed records for so long after their end. Default: seven days.
    ///
    /// Choose more than the longest time over which any client retries.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.settings.retention = retention;
        self
    }

    /// Keeps failed and abandoned records for so long, for inspection. Default: one day.
    pub fn failed_retention(mut self, retention: Retention) -> Self {
        self.settings.failed_retention = retention;
        self
    }

    /// Chooses which headers are kept and replayed. Default: see [`ReplayedHeaders`].
    pub fn replayed_headers(mut self, headers: ReplayedHeaders) -> Self {
        self.settings.replayed_headers = headers;
        self
    }

    /// Chooses the headers that mark the layer's answers. Default: see [`ResponseHeaders`].
    pub fn response_headers(mut self, headers: ResponseHeaders) -> Self {
        self.settings.response_headers = headers;
        self
    }

    /// Chooses how refusals look. Default: RFC 9457 problem documents.
    pub fn problems(mut self, renderer: ProblemRenderer) -> Self {
        self.settings.renderer = renderer;
        self
    }

    /// Links refusals to your own page about idempotency: an absolute URL without a fragment.
    /// Default: this project's page.
    pub fn docs_url(mut self, url: impl AsRef<str>) -> Self {
        self.settings.docs_url = absolute(url.as_ref());
        self
    }

    /// Runs handlers **without protection** while the store is down, instead of answering 503.
    ///
    /// Every retry during the outage runs the handler again.
    /// Such responses say `X-Idempotency-Stored: false`.
    pub fn danger_fail_open(mut self) -> Self {
        self.settings.fail_open = true;
        self
    }

    /// Lets duplicates wait for the first answer instead of 409. Default: they do not wait.
    pub fn wait(mut self, policy: WaitPolicy) -> Self {
        self.settings.wait = Some(policy);
        self
    }

    /// Chooses the pace of sweeping; `None` leaves it to you. Default: once a minute.
    pub fn sweep(mut self, policy: impl Into<Option<SweepPolicy>>) -> Self {
        self.settings.sweep = policy.into();
        self
    }

    /// Keeps completed records in at most so many bytes of this process's memory, and replays them
    /// without asking the store. Default: 32 MiB; 0 is [`no_cache`](Self::no_cache).
    ///
    /// A completed record never changes, so one more retry of it in the same process costs
    /// neither a statement nor a connection, and is answered even while the store is down.
    /// Records come in with their first replay in this process (see
    /// [`cache_completions`](Self::cache_completions)), and the oldest go first.
    /// Choose about the bytes of response that are sent within the
    /// [staleness](Self::cache_staleness); a response larger than a sixteenth of the cache stays
    /// out. A store in the memory of the process is never cached.
    ///
    /// Layers made by [`customize`](IdempotencyLayer::customize) share one cache, as large as the
    /// first of them was built with; each can leave it out with 0.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.settings.cache_bytes = bytes;
        self
    }

    /// Asks the store about every retry. Default: see [`cache_bytes`](Self::cache_bytes).
    pub fn no_cache(self) -> Self {
        self.cache_bytes(0)
    }

    /// Keeps what this process completes in the cache at once, not only with its first replay.
    /// Default: false.
    ///
    /// The first retry that comes to the same process then needs no store either, and is answered
    /// while it is down. The price is a copy of each response of up to 16 KiB: a few
    /// microseconds for each request that is not a retry, and a cache that is always full under
    /// load. Choose it where retries are frequent and come soon, and to the same process.
    pub fn cache_completions(mut self, at_once: bool) -> Self {
        self.settings.cache_completions = at_once;
        self
    }

    /// Replays a record from memory for at most so long after the store was asked. Default: 10 s.
    ///
    /// It is how long this process may go on replaying a record that somebody has deleted or
    /// changed in the database by hand. Choose less where operators do that and clients
    /// retry at once, and more for clients that retry late; zero is [`no_cache`](Self::no_cache).
    /// No record is replayed after its own [retention](Self::retention), whatever this says.
    pub fn cache_staleness(mut self, staleness: Duration) -> Self {
        self.settings.cache_staleness = staleness;
        self
    }

    /// Calls `hook` once for each covered request, with what became of it: for metrics.
    ///
    /// It runs on the request's path: keep it short. A panic in it is caught and logged.
    pub fn on_outcome(mut self, hook: impl Fn(Outcome) + Send + Sync + 'static) -> Self {
        self.settings.hook = Some(OutcomeHook(Arc::new(hook)));
        self
    }
}

impl<St> fmt::Debug for IdempotencyLayerBuilder<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayerBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Checks that `url` can be the base of a problem's type.
fn absolute(url: &str) -> Result<HeaderValue, String> {
    let refused = || url.to_owned();
    let parsed: Uri = url.parse().map_err(|_| refused())?;
    let web = matches!(parsed.scheme_str(), Some("http" | "https"));
    if !web || parsed.host().is_none_or(str::is_empty) || url.contains(['#', '<', '>', '"']) {
        return Err(refused());
    }
    HeaderValue::from_str(url).map_err(|_| refused())
}

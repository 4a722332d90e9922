use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, Method, response::Parts};
use tower_idempotency::{
    BoxStore, ConfigError, FingerprintPolicy, IdempotencyKey, IdempotencyLayer, KeySource,
    Principal, Retention, Scope, Store, Stored,
};

use crate::{
    Deliveries, Inbox, RetrySchedule, Verdict, attempt::Attempted, inbox::Shared,
    settings::Settings, verdict::Classify,
};

/// The methods that deliver; others pass through the inbox untouched.
pub(crate) const METHODS: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];

/// How often operators may ask for deliveries.
///
/// It holds for all processes together, by the database's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReplayLimit {
    /// The pause between two replays of one delivery. Default: 10 s.
    pub pause: Duration,
    /// How many deliveries may be replayed within a minute. Default: 60.
    pub per_minute: u32,
}

impl Default for ReplayLimit {
    fn default() -> Self {
        Self::new(Duration::from_secs(10), 60)
    }
}

impl ReplayLimit {
    /// Allows one replay of a delivery in each pause, and so many deliveries in a minute.
    #[must_use]
    pub const fn new(pause: Duration, per_minute: u32) -> Self {
        Self { pause, per_minute }
    }
}

/// Sets up an [`Inbox`].
#[must_use = "call `build` to get the inbox"]
pub struct InboxBuilder {
    deliveries: Deliveries,
    store: BoxStore,
    settings: Settings,
}

impl InboxBuilder {
    pub(crate) fn new(deliveries: Deliveries, store: impl Store) -> Self {
        Self {
            deliveries,
            store: BoxStore::new(store),
            settings: Settings::default(),
        }
    }

    /// Makes the inbox.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the setting, its value and what it must be.
    pub fn build(self) -> Result<Inbox, ConfigError> {
        self.settings.validate()?;
        let layer = guard(self.store, &self.settings)?;
        Ok(Inbox::from_shared(Shared::new(
            self.deliveries,
            layer,
            self.settings,
        )))
    }

    /// Judges the handlers' answers. Default: by status, see [`Verdict::of_status`].
    ///
    /// It may be called more than once for an answer. A handler can tell it more through the
    /// extensions of its response.
    pub fn classify(
        mut self,
        classify: impl Fn(&Parts) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.settings.classify = Classify(Arc::new(classify));
        self
    }

    /// Chooses when transient failures are tried again. Default: see [`RetrySchedule`].
    pub fn retry(mut self, schedule: RetrySchedule) -> Self {
        self.settings.retry = schedule;
        self
    }

    /// Gives each attempt a lease of this length, renewed at a third of it. Default: 30 s.
    ///
    /// It is how long a delivery waits after its process died.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Keeps bodies up to this size; larger ones are refused with 413. Default: 1 MiB.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_request_bytes = bytes;
        self
    }

    /// Bounds what operators can ask for. Default: see [`ReplayLimit`].
    pub fn replay_limit(mut self, limit: ReplayLimit) -> Self {
        self.settings.replay = limit;
        self
    }

    /// Deletes deliveries so long after they arrived, if they have ended. Default: 30 days.
    ///
    /// A key is forgotten with its delivery: choose more than the longest time over which a sender
    /// comes again.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.settings.retention = retention;
        self
    }

    /// Looks for deliveries that are due so often. Default: once a second.
    pub fn poll(mut self, every: Duration) -> Self {
        self.settings.poll = every;
        self
    }

    /// Lets a worker deliver so many at once. Default: 8.
    pub fn concurrency(mut self, deliveries: usize) -> Self {
        self.settings.concurrency = deliveries;
        self
    }

    /// Does not keep this header, in addition to credentials, signatures and what belongs to the
    /// connection.
    pub fn forget_header(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        self.settings.forbidden_headers = self.settings.forbidden_headers.and_then(|mut names| {
            names.push(HeaderName::try_from(name).map_err(|_| name.to_owned())?);
            Ok(names)
        });
        self
    }
}

impl fmt::Debug for InboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Makes the layer that lets one attempt of a delivery run at a time, and none after a success.
fn guard(store: BoxStore, settings: &Settings) -> Result<IdempotencyLayer<BoxStore>, ConfigError> {
    let retention = Retention::For(settings.retention);
    let classify = settings.classify.clone();
    IdempotencyLayer::builder(
        store,
        Principal::extension(|attempted: &Attempted| attempted.trigger.to_string()),
    )
    .namespace("webhook-inbox")
    .scope_from_fn(|trigger, _| Some(Scope::new(trigger, "webhook")))
    .key_sources([KeySource::from_fn(|parts| {
        let attempted = parts.extensions.get::<Attempted>()?;
        Some(IdempotencyKey::new(attempted.id.to_string()))
    })])
    .methods(METHODS)
    // The delivery's own id is the key: whatever comes with it is the same request.
    .fingerprint(FingerprintPolicy::default().off())
    .max_request_bytes(settings.max_request_bytes)
    .lease(settings.lease)
    .stored(Stored::from_fn(move |parts| {
        (classify.0)(parts) == Verdict::Success
    }))
    .retention(retention)
    .failed_retention(retention)
    .build()
}

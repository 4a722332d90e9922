use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tower_idempotency_core::{Attempt, IdempotencyKey, Retention};

/// What a handler can know and decide about the execution it is part of.
///
/// It is an extension of every request that the layer has claimed a key for,
/// and an axum extractor (feature `axum`); take `Option<Idempotency>` where the key is optional.
///
/// # Example
///
/// ```
/// use axum::http::StatusCode;
/// use tower_idempotency::Idempotency;
///
/// async fn charge(idempotency: Idempotency) -> StatusCode {
///     if idempotency.attempt().takeover {
///         // An earlier execution stopped midway: see what it did before doing it again.
///     }
///     StatusCode::CREATED
/// }
/// # let _ = charge;
/// ```
#[derive(Clone)]
pub struct Idempotency {
    key: IdempotencyKey,
    attempt: Attempt,
    wishes: Arc<Mutex<Wishes>>,
}

/// What the handler asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) release: bool,
    pub(crate) omit_body: bool,
    pub(crate) retention: Option<Retention>,
}

impl Idempotency {
    pub(crate) fn new(key: IdempotencyKey, attempt: Attempt) -> Self {
        Self {
            key,
            attempt,
            wishes: Arc::default(),
        }
    }

    /// Returns the client's key.
    #[must_use]
    pub const fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// Returns which execution of the key this is, and whether an earlier one stopped midway.
    #[must_use]
    pub const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Gives the key up with this response: the same request runs the handler again.
    ///
    /// Use it where nothing was done. It wins over every other wish and over the policy.
    pub fn do_not_store(&self) {
        self.wish(|wishes| wishes.release = true);
    }

    /// Says that this response is not the end of the operation:
    /// the client will come again with the same key, after a confirmation for example.
    ///
    /// The key is given up, so that the next request with it may differ from this one.
    pub fn not_final(&self) {
        self.do_not_store();
    }

    /// Keeps that the request was executed, but not the body: for answers that hold a secret.
    ///
    /// Retries get the status, the headers and no body. The header that marks a replay says
    /// `omitted` then. Headers are kept: leave secrets out of them.
    pub fn omit_body(&self) {
        self.wish(|wishes| wishes.omit_body = true);
    }

    /// Keeps this response for another time than the layer's default.
    pub fn retention(&self, retention: Retention) {
        self.wish(|wishes| wishes.retention = Some(retention));
    }

    pub(crate) fn wishes(&self) -> Wishes {
        *self.lock()
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock());
    }

    /// A wish is set in one step, so one set by a thread that panicked is whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("key", &self.key)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

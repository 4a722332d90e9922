mod complete_in;
mod journal;
mod step;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::Extensions;
use sha2::{Digest, Sha256};
use tower_idempotency_core::{
    Attempt, IdempotencyKey, RecordId, Retention, StepJournal, StoredResponse,
};
use uuid::Uuid;

use self::journal::Journal;
use crate::{IssuedKeys, issued::outlasting, settings::Settings};

pub use self::{
    complete_in::CompleteInError,
    step::{StepError, StepErrorKind},
};

/// What a handler can know and decide about the execution it is part of.
///
/// It is an extension of every request that the layer has claimed a key for,
/// and an axum extractor (feature `axum`); take `Option<Idempotency>` where the key is optional.
/// Cloning is cheap.
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
pub struct Idempotency(Arc<Inner>);

struct Inner {
    key: IdempotencyKey,
    id: RecordId,
    attempt: Attempt,
    settings: Arc<Settings>,
    /// What the store lets the handler have.
    granted: Extensions,
    journal: Journal,
    wishes: Mutex<Wishes>,
}

/// What the handler asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) release: bool,
    pub(crate) omit_body: bool,
    pub(crate) retention: Option<Retention>,
    /// How long an issued key can still be used, which its record has to outlast.
    pub(crate) life: Option<Retention>,
    pub(crate) fenced: Fenced,
}

/// Whether the handler has completed the record in a transaction of its own.
#[derive(Clone, Debug, Default)]
pub(crate) enum Fenced {
    /// It has not tried.
    #[default]
    No,
    /// It has tried, and what the response was to be. Whether it is kept, the store knows.
    Tried(StoredResponse),
    /// It is committed, with this response.
    Committed(StoredResponse),
}

impl Wishes {
    /// Returns how long the record is kept.
    pub(crate) fn retention(&self, settings: &Settings) -> Retention {
        let retention = self.retention.unwrap_or(settings.retention);
        self.life
            .map_or(retention, |life| outlasting(retention, life))
    }
}

impl Idempotency {
    pub(crate) fn new(
        key: IdempotencyKey,
        id: RecordId,
        attempt: Attempt,
        settings: Arc<Settings>,
        granted: Extensions,
        steps: StepJournal,
    ) -> Self {
        Self(Arc::new(Inner {
            key,
            id,
            attempt,
            settings,
            granted,
            journal: Journal::new(steps, attempt),
            wishes: Mutex::default(),
        }))
    }

    /// Returns the client's key.
    #[must_use]
    pub fn key(&self) -> &IdempotencyKey {
        &self.0.key
    }

    /// Returns which execution of the key this is, and whether an earlier one stopped midway.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.0.attempt
    }

    /// Returns a key for a call to another service: the same one in every attempt of this request,
    /// and another one for each `label`, caller, route and key.
    ///
    /// The other service must treat it as an idempotency key. With [`step`](Self::step) around the
    /// call, the effect there happens once: the step may be repeated after a crash, and the other
    /// service then recognises the key.
    ///
    /// It is a UUID of version 8 ([RFC 9562, section 5.8][rfc]), made of a SHA-256 over the
    /// identity of the record and the label. It does not tell the client's key.
    /// A key that is used again after its record has expired derives the same keys as before.
    ///
    /// [rfc]: https://www.rfc-editor.org/rfc/rfc9562#section-5.8
    #[must_use]
    pub fn derive_key(&self, label: &str) -> Uuid {
        derive_key(&self.0.id, label)
    }

    /// Gives the key up with this response: the same request runs the handler again.
    ///
    /// Use it where nothing was done. It wins over every other wish and over the policy.
    /// With a transactional store, everything is rolled back.
    pub fn do_not_store(&self) {
        self.wish(|wishes| wishes.release = true);
    }

    /// Says that this response is not the end of the operation:
    /// the client will come again with the same key, after a confirmation for example.
    ///
    /// The key is given up, so that the next request with it may differ from this one.
    /// For what then becomes of duplicates and of what was written, and for handlers that do not
    /// have this handle, see [`NotFinal`](crate::NotFinal).
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
    ///
    /// A key that the service has issued is kept until it expires, and for this time more.
    pub fn retention(&self, retention: Retention) {
        self.wish(|wishes| wishes.retention = Some(retention));
    }

    /// Lets the record outlast an issued key.
    pub(crate) fn outlast(&self, life: Option<Retention>) {
        self.wish(|wishes| wishes.life = life);
    }

    /// Returns for what the key was issued.
    pub(crate) fn purpose(&self) -> Option<&str> {
        self.0.settings.issued.as_ref().map(IssuedKeys::purpose)
    }

    pub(crate) fn wishes(&self) -> Wishes {
        self.lock().clone()
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock());
    }

    /// A wish is set in one step, so one set by a thread that panicked is whole.
    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.0.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn derive_key(id: &RecordId, label: &str) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(b"tower-idempotency derived key 1");
    digest.update(id.as_bytes());
    digest.update(label);
    let digest = digest.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::new_v8(bytes)
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("key", &self.0.key)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tower_idempotency_core::Scope;

    use super::*;

    fn id(principal: &str, key: &str) -> RecordId {
        let key = IdempotencyKey::new(key).unwrap();
        RecordId::new(&Scope::new(principal, "POST /payments"), &key)
    }

    /// Other services keep these: they must stay the same from version to version.
    #[test]
    fn derived_keys_are_stable_and_told_apart() {
        let key = derive_key(&id("alice", "k"), "charge");
        assert_eq!(key, derive_key(&id("alice", "k"), "charge"));
        assert_eq!(key.get_version_num(), 8);
        let others = [
            derive_key(&id("alice", "k"), "refund"),
            derive_key(&id("alice", "other"), "charge"),
            derive_key(&id("bob", "k"), "charge"),
        ];
        assert!(!others.contains(&key));
        assert_eq!(key.to_string(), "17d677c2-5c10-847e-88fb-312148382ccb");
    }
}

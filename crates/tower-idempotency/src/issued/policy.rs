//! What a layer was told about the keys that the service has issued.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, request::Parts};
use tower_idempotency_core::{ConfigError, IdempotencyKey, Retention, Scope};

use super::{KeyIssuer, KeyStanding, SignedKeys, issuer::AnyIssuer, mark};
use crate::BoxError;

/// Serves only keys that the service itself has issued, each of them once.
///
/// Give it to [`issued_keys`](crate::IdempotencyLayerBuilder::issued_keys). By the state of the key
/// a request is answered so:
///
/// | the key | answer |
/// |---|---|
/// | is not there | 400 `IDEMPOTENCY_KEY_MISSING` |
/// | was never issued, was revoked, was tampered with | 400 `IDEMPOTENCY_KEY_UNKNOWN` |
/// | can be used | the handler runs, once |
/// | is being used by another request | 409 `REQUEST_IN_PROGRESS`, or a wait |
/// | was used, and the response is kept | 200 with the original body and `"idempotent": true`, expired or not |
/// | was used, and the response is not kept | 409 `IDEMPOTENCY_KEY_USED`, or `OUTCOME_UNKNOWN` if it is not known how it ended |
/// | was not used and has expired | 410 `IDEMPOTENCY_KEY_EXPIRED` |
/// | cannot be looked up | 503 `IDEMPOTENCY_STORE_UNAVAILABLE` |
///
/// # Single use
///
/// A key is used once, by whomever, on whatever route: its scope is its purpose alone. Only
/// [`scope_from_fn`](crate::IdempotencyLayerBuilder::scope_from_fn) can narrow that. Therefore
/// whoever has the key can also read the response that is kept under it; let
/// [`KeyIssuer::standing`] look who is asking where that must not be.
///
/// The record of a key is kept until the key has expired, and then for the layer's
/// [retention](crate::IdempotencyLayerBuilder::retention) more. As long as the clocks of issuer and
/// store differ by less than that, no key that is still valid has been forgotten.
///
/// An execution that gives its key up leaves it unused: a 5xx, a 429. Which responses use a key up
/// is for [`stored`](crate::IdempotencyLayerBuilder::stored) to say: choose
/// [`Stored::success_only`](crate::Stored::success_only) where a form that was filled in wrongly
/// may be sent again.
///
/// The same key with another body is 422 `IDEMPOTENCY_KEY_REUSED`, as with every key. Switch the
/// [fingerprint](crate::IdempotencyLayerBuilder::fingerprint) off to answer it with the original
/// response, too.
///
/// # What this does not do
///
/// Requests that the layer does not cover are not looked at: other methods than POST and PATCH, and
/// what [`skip`](crate::IdempotencyLayerBuilder::skip) lets through. A handler that takes
/// [`Idempotency`](crate::Idempotency) and uses its key cannot be reached past the layer.
///
/// An expired key runs nothing, not even to finish what a crashed execution had begun with it in
/// time: that is answered 409 `OUTCOME_UNKNOWN`. With a transactional store a request that is
/// running has no record yet, so a duplicate that comes after the expiry meanwhile is answered 410.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency::{
///     IdempotencyLayer, IssuedKeys, KeySource, Principal, SignedKeys, Stored,
/// };
/// use tower_idempotency_memory::MemoryStore;
///
/// let invites = SignedKeys::new("invites", "a secret of 32 bytes or more ...")?;
/// let layer = IdempotencyLayer::builder(MemoryStore::new(), Principal::public())
///     .key_sources([KeySource::json_pointer("/token")])
///     .issued_keys(IssuedKeys::signed(&invites))
///     .stored(Stored::success_only())
///     .build()?;
///
/// let invite = invites.issue(Duration::from_secs(7 * 24 * 60 * 60));
/// println!("https://example.com/invites/{}", invite.key.as_str());
/// # let _ = layer;
/// # Ok::<(), tower_idempotency::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct IssuedKeys {
    purpose: Arc<str>,
    issuer: Arc<dyn AnyIssuer>,
    replay_status: Option<StatusCode>,
    replay_member: Option<Cow<'static, str>>,
}

impl IssuedKeys {
    /// Serves keys that `issuer` knows.
    ///
    /// `purpose` tells them from other issuers' keys in the same store: `"invites"`. Layers with
    /// the same purpose share their keys, so that one used at one of them is used at all.
    pub fn by(purpose: impl Into<Arc<str>>, issuer: impl KeyIssuer) -> Self {
        Self {
            purpose: purpose.into(),
            issuer: Arc::new(issuer),
            replay_status: Some(StatusCode::OK),
            replay_member: Some(Cow::Borrowed("idempotent")),
        }
    }

    /// Serves keys with a valid signature, for the purpose of the signer.
    #[must_use]
    pub fn signed(keys: &SignedKeys) -> Self {
        Self::by(Arc::clone(keys.purpose()), keys.clone())
    }

    /// Replays successes with this status; `None` keeps the original one. Default: 200.
    ///
    /// Only 2xx with a body are changed: a 404 that was kept stays a 404, and a 204 a 204.
    /// Choose `None` where clients tell 200 from 201.
    #[must_use]
    pub fn replay_status(mut self, status: impl Into<Option<StatusCode>>) -> Self {
        self.replay_status = status.into();
        self
    }

    /// Puts this member into replayed JSON objects, with the value `true`; `None` puts none.
    /// Default: `idempotent`.
    ///
    /// It takes the place of one of the same name. Whatever is not a JSON object by its
    /// `Content-Type` and its text is replayed as it is. The kept response itself is never
    /// changed; headers that speak of its bytes (`ETag`, `Content-Digest`) are left out where the
    /// replay has others.
    #[must_use]
    pub fn replay_member(mut self, name: impl Into<Option<&'static str>>) -> Self {
        self.replay_member = name.into().map(Cow::Borrowed);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refused = |setting, value: &str, must| {
            let value = format!("{value:?}");
            Err(ConfigError::new(setting, value, must))
        };
        if self.purpose.is_empty() {
            return refused("issued_keys.purpose", "", "must have a name");
        }
        match self.replay_status {
            Some(status) if !status.is_success() => {
                let must = "must be a success, since only successes are changed";
                refused("issued_keys.replay_status", status.as_str(), must)
            }
            _ => Ok(()),
        }
    }

    /// Asks the issuer.
    pub(crate) async fn standing(
        &self,
        key: &IdempotencyKey,
        request: &Parts,
    ) -> Result<KeyStanding, BoxError> {
        self.issuer.ask(key, request).await
    }

    pub(crate) fn purpose(&self) -> &str {
        &self.purpose
    }

    /// Returns the scope of every key: who uses it, and where, does not matter.
    pub(crate) fn scope(&self) -> Scope {
        Scope::new("", format!("issued {}", self.purpose))
    }

    /// Marks a replay in status and body.
    pub(crate) fn mark(&self, status: &mut StatusCode, headers: &mut HeaderMap, body: &mut Bytes) {
        if !status.is_success() || body.is_empty() {
            return;
        }
        *status = self.replay_status.unwrap_or(*status);
        if let Some(name) = &self.replay_member {
            mark::mark(name, headers, body);
        }
    }
}

/// Returns how long a record is kept whose key can be used for `life` more: for its retention
/// after that.
pub(crate) fn outlasting(retention: Retention, life: Retention) -> Retention {
    match (retention.duration(), life.duration()) {
        (Some(retention), Some(life)) => Retention::For(retention.saturating_add(life)),
        _ => Retention::Forever,
    }
}

impl fmt::Debug for IssuedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedKeys")
            .field("purpose", &self.purpose)
            .field("replay_status", &self.replay_status)
            .field("replay_member", &self.replay_member)
            .finish_non_exhaustive()
    }
}

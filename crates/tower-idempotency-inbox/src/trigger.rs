use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use tower_idempotency::{ConfigError, IdempotencyKey, KeySource};

use crate::Provider;

/// An endpoint that receives deliveries, and where its senders put their keys.
///
/// Keys belong to their trigger: the same key at another trigger is another delivery.
/// The id is kept with every delivery, so it must not change.
///
/// # Example
///
/// ```
/// use tower_idempotency_inbox::{Provider, Trigger};
///
/// let github = Trigger::new("github").provider(Provider::GitHub);
/// // Whoever sends to this one puts its key into the body, or has none.
/// let anybody = Trigger::new("orders");
/// # let _ = (github, anybody);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Trigger {
    id: Arc<str>,
    sources: Vec<KeySource>,
}

impl Trigger {
    /// Names an endpoint. Until told otherwise it looks for keys in the members
    /// `/idempotency_key`, `/messageId` and `/data/messageId` of JSON bodies, in this order.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        let pointers = ["/idempotency_key", "/messageId", "/data/messageId"];
        Self {
            id: id.into(),
            sources: pointers.map(KeySource::json_pointer).into(),
        }
    }

    /// Looks for keys where this sender puts them, and nowhere else.
    pub fn provider(self, provider: Provider) -> Self {
        self.key_sources(provider.key_sources())
    }

    /// Looks for keys in these places, in this order.
    ///
    /// A place that holds something which cannot be a key is passed over, and a warning logged:
    /// a refusal would make the sender come again and again. If no other place has a key the
    /// delivery has none, and runs each time it comes.
    pub fn key_sources(mut self, sources: impl IntoIterator<Item = KeySource>) -> Self {
        self.sources = sources.into_iter().collect();
        self
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn key(&self, parts: &Parts, body: &Bytes) -> Option<IdempotencyKey> {
        self.sources
            .iter()
            .find_map(|source| match source.find(parts, body)? {
                Ok(key) => Some(key),
                Err(error) => {
                    let (trigger, error) = (&*self.id, error.to_string());
                    tracing::warn!(trigger, error, "what stands for a key is none");
                    None
                }
            })
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let id = &self.id;
        if id.is_empty() || id.len() > 255 || id.chars().any(char::is_control) {
            let must = "must have 1 to 255 bytes and no control characters";
            return Err(ConfigError::new("trigger id", format!("{id:?}"), must));
        }
        self.sources.iter().try_for_each(KeySource::check)
    }
}

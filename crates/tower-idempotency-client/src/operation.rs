//! One thing that is to be done, however often it is sent.

use std::{fmt, sync::Arc};

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tower_idempotency_core::{IdempotencyKey, KeyError};
use uuid::Uuid;

use crate::doubt::Doubt;

/// One logical operation: the key under which it is sent, however often.
///
/// Make one for what is meant once ("pay invoice 17"), and give it to every request that is sent
/// for it. A clone is the same operation. The requests must be the same as well: same method,
/// target and body, byte for byte.
///
/// It also notes whether a request may be out there whose outcome is not known; the answers to
/// later requests are judged by it ([`Outcome`](crate::Outcome)).
///
/// # Over restarts
///
/// Store it, with what it sends, before it is sent for the first time, and send it again after a
/// restart. What was stored says nothing of what was sent since, so an operation that is read back
/// counts as one that may have been sent.
///
/// ```
/// use tower_idempotency_client::Operation;
///
/// let operation = Operation::new();
/// let stored = serde_json::to_string(&operation)?; // {"key":"..."}
/// // The process dies, and starts again.
/// let resumed: Operation = serde_json::from_str(&stored)?;
/// assert_eq!(resumed.key(), operation.key());
/// assert!(!operation.is_in_doubt());
/// assert!(resumed.is_in_doubt());
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Calls from inside a handler
///
/// `Idempotency::derive_key` of `tower-idempotency` is the same in every run of one request; made
/// an operation, it names the same call downstream:
///
/// ```
/// use tower_idempotency::Idempotency;
/// use tower_idempotency_client::{Operation, WithOperation};
///
/// async fn pay(
///     idempotency: Idempotency,
///     provider: reqwest_middleware::ClientWithMiddleware,
/// ) -> reqwest_middleware::Result<()> {
///     let charge = Operation::from(idempotency.derive_key("charge"));
///     provider.post("https://provider.test/charges").operation(&charge).send().await?;
///     Ok(())
/// }
/// # let _ = pay;
/// ```
#[derive(Clone, Deserialize, Serialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Operation {
    key: IdempotencyKey,
    doubt: Arc<Doubt>,
}

/// What is written down; an object, so that a later version can add to it.
#[derive(Deserialize, Serialize)]
struct Stored {
    key: String,
}

impl Operation {
    /// Begins an operation that was never sent, with a random key (a UUID of version 4).
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one is another operation")]
    pub fn new() -> Self {
        Self::with_key(key_of(Uuid::new_v4())).never_sent()
    }

    /// Goes on with an operation whose key was made elsewhere: stored, derived, or natural.
    ///
    /// It counts as one that may have been sent; see [`never_sent`](Self::never_sent).
    #[must_use]
    pub fn with_key(key: IdempotencyKey) -> Self {
        let doubt = Arc::new(Doubt::with_one());
        Self { key, doubt }
    }

    /// Says that no request with this key has ever been sent, by nobody.
    ///
    /// A refusal of the first request is then final, and one that never left is
    /// [`NotSent`](crate::Outcome::NotSent). If it is not true, these are said although something
    /// may have been carried out.
    #[must_use]
    pub fn never_sent(self) -> Self {
        let doubt = Arc::default();
        Self { doubt, ..self }
    }

    /// Returns the operation that is a part of this one, by its name: the same one for the same
    /// name, from version to version.
    ///
    /// For one stored operation that takes several calls. Its key is a UUID of version 8, made of
    /// a SHA-256 over this key and the name. It counts as one that may have been sent.
    ///
    /// Inside a handler of `tower-idempotency`, take the key of `Idempotency::derive_key` instead,
    /// which also tells callers and routes apart.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"tower-idempotency-client part 1");
        digest.update(self.key.as_str());
        // No key holds it, so that no other key and name are these bytes.
        digest.update([0]);
        digest.update(name);
        let digest = digest.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self::from(Uuid::new_v8(bytes))
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// Tells whether a request may have been sent whose outcome is not known.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.doubt.is_there()
    }

    pub(crate) fn doubt(&self) -> &Doubt {
        &self.doubt
    }

    /// Returns the key as the header has it: a string of RFC 9651.
    pub(crate) fn header(&self) -> HeaderValue {
        let escaped = self.key.as_str().replace('\\', "\\\\").replace('"', "\\\"");
        let value = HeaderValue::try_from(format!("\"{escaped}\""));
        let mut value = value.expect("a key is printable ASCII");
        // It can be as good as a password: neither printed nor put into a table of HTTP/2.
        value.set_sensitive(true);
        value
    }
}

fn key_of(uuid: Uuid) -> IdempotencyKey {
    IdempotencyKey::new(uuid.to_string()).expect("a UUID is a valid key")
}

/// Goes on with an operation whose key is this UUID, as [`Operation::with_key`] does.
impl From<Uuid> for Operation {
    fn from(uuid: Uuid) -> Self {
        Self::with_key(key_of(uuid))
    }
}

/// Goes on with an operation, as [`Operation::with_key`] does.
impl From<IdempotencyKey> for Operation {
    fn from(key: IdempotencyKey) -> Self {
        Self::with_key(key)
    }
}

impl From<Operation> for Stored {
    fn from(operation: Operation) -> Self {
        let key = operation.key.as_str().to_owned();
        Self { key }
    }
}

impl TryFrom<Stored> for Operation {
    type Error = KeyError;

    fn try_from(stored: Stored) -> Result<Self, KeyError> {
        IdempotencyKey::new(stored.key).map(Self::with_key)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("key", &self.key)
            .field("is_in_doubt", &self.is_in_doubt())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use tower_idempotency_core::{KeySyntax, parse_header};

    use super::*;

    fn with_key(key: &str) -> Operation {
        Operation::with_key(IdempotencyKey::new(key).unwrap())
    }

    #[test]
    fn every_key_is_read_from_the_header_as_it_was() {
        for key in ["k", "say \"hi\"", "back\\slash", "a, b; c"] {
            let header = with_key(key).header();
            let read = parse_header(header.as_bytes(), KeySyntax::Strict).unwrap();
            assert_eq!(read.as_str(), key);
            assert!(header.is_sensitive());
        }
    }

    #[test]
    fn each_new_operation_has_another_key() {
        assert_ne!(Operation::new().key(), Operation::new().key());
        assert!(!Operation::new().is_in_doubt());
    }

    #[test]
    fn an_operation_that_is_read_back_may_have_been_sent() {
        let stored = serde_json::to_string(&with_key("k").never_sent()).unwrap();
        assert_eq!(stored, r#"{"key":"k"}"#);
        let read: Operation = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.key().as_str(), "k");
        assert!(read.is_in_doubt());
        assert!(serde_json::from_str::<Operation>(r#"{"key":""}"#).is_err());
    }

    #[test]
    fn a_clone_is_the_same_operation() {
        let operation = Operation::new();
        let clone = operation.clone();
        clone.doubt().begin();
        assert!(operation.is_in_doubt());
    }

    /// Other services keep these: they must stay the same from version to version.
    #[test]
    fn parts_are_stable_and_told_apart() {
        let part = with_key("k").part("charge");
        assert_eq!(part.key(), with_key("k").part("charge").key());
        assert_ne!(part.key(), with_key("k").part("refund").key());
        assert_ne!(part.key(), with_key("l").part("charge").key());
        assert_eq!(part.key().as_str(), "744bef2a-beee-842e-9f9e-480d84256969");
        assert!(part.is_in_doubt());
    }

    #[test]
    fn the_key_is_not_printed() {
        let shown = format!("{:?}", with_key("secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}

use std::{fmt, sync::Arc};

use uuid::{Uuid, Variant};

use super::{IdempotencyKey, KeyError, KeyErrorKind};

/// The signature of a user's own check.
type Check = dyn Fn(&str) -> bool + Send + Sync;

/// Which keys a server admits, beyond the general rules of
/// [`IdempotencyKey`].
///
/// The default is [`Any`](Self::Any), because a server rarely controls its
/// clients. A stricter format keeps out low-entropy keys such as `1` and client
/// bugs such as `undefined`, both of which can make two operations share a key.
///
/// A format only admits or refuses; it never rewrites. Two spellings of one
/// UUID remain two keys.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::{IdempotencyKey, KeyFormat};
///
/// let random = IdempotencyKey::new("8e03978e-40d5-43e8-bc93-6894a57f9324")?;
/// let undefined = IdempotencyKey::new("undefined")?;
///
/// assert!(KeyFormat::UuidV4.check(&random).is_ok());
/// assert!(KeyFormat::UuidV4.check(&undefined).is_err());
///
/// let long = KeyFormat::custom(|key| key.len() >= 16);
/// assert!(long.check(&random).is_ok());
/// assert!(long.check(&undefined).is_err());
/// # Ok::<(), tower_idempotency_core::KeyError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Default)]
pub enum KeyFormat {
    /// Every valid key.
    #[default]
    Any,
    /// A UUID of any version in the hyphenated form of 36 characters.
    Uuid,
    /// A random UUID (version 4 of RFC 9562) in the hyphenated form.
    UuidV4,
    /// A key for which the function returns true; see [`KeyFormat::custom`].
    Custom(Arc<Check>),
}

impl KeyFormat {
    /// A format decided by a function, which is given the key without quotes.
    ///
    /// The function runs on every request that has a key, before any work is
    /// done, so it should be cheap and must not block. It should always return
    /// the same for the same key: a key that was admitted once and is refused
    /// later cannot be retried.
    #[must_use]
    pub fn custom(admits: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(admits))
    }

    /// Checks a key.
    ///
    /// # Errors
    ///
    /// The kind is [`Format`](KeyErrorKind::Format) if the key is not admitted.
    pub fn check(&self, key: &IdempotencyKey) -> Result<(), KeyError> {
        let admitted = match self {
            Self::Any => true,
            Self::Uuid => hyphenated_uuid(key.as_str()).is_some(),
            Self::UuidV4 => hyphenated_uuid(key.as_str()).is_some_and(is_random),
            Self::Custom(admits) => admits(key.as_str()),
        };
        if admitted {
            Ok(())
        } else {
            Err(KeyError::new(KeyErrorKind::Format))
        }
    }
}

/// Reads the hyphenated form only.
///
/// The parser also takes the simple, the braced and the `urn:uuid:` form. Keys
/// are compared byte by byte, so a client that changes the form between two
/// attempts would execute twice; of the four, only this one is 36 bytes long.
fn hyphenated_uuid(key: &str) -> Option<Uuid> {
    if key.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    Uuid::try_parse(key).ok()
}

fn is_random(uuid: Uuid) -> bool {
    uuid.get_version_num() == 4 && uuid.get_variant() == Variant::RFC4122
}

impl fmt::Debug for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "Any",
            Self::Uuid => "Uuid",
            Self::UuidV4 => "UuidV4",
            Self::Custom(_) => "Custom(<fn>)",
        })
    }
}

use std::{fmt, str::FromStr, sync::Arc};

use sha2::{Digest, Sha256};

use super::{KeyError, KeyErrorKind};

/// The length of the longest key, in bytes.
///
/// Large enough for every published key format, and small enough for an index
/// of every database.
pub const MAX_KEY_BYTES: usize = 255;

/// A valid key chosen by a client.
///
/// It is 1 to [`MAX_KEY_BYTES`] bytes of printable ASCII (0x20 to 0x7E), and
/// not only spaces. Keys are compared byte by byte: nothing is trimmed, decoded
/// or folded, so `A` and `a` are two keys. A clone shares the text.
///
/// A key can be as good as a password for the response stored under it.
/// Therefore there is no `Display`, and `Debug` prints only its length and the
/// start of its SHA-256.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::IdempotencyKey;
///
/// let key = IdempotencyKey::new("order-17")?;
/// assert_eq!(key.as_str(), "order-17");
/// assert_eq!(format!("{key:?}"), "IdempotencyKey(#72a90ea3, 8 bytes)");
/// # Ok::<(), tower_idempotency_core::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// Checks a value and makes it a key.
    ///
    /// The value is taken as it is; use [`parse_header`](super::parse_header)
    /// for the value of a header, which may be quoted.
    ///
    /// # Errors
    ///
    /// The kind is [`Empty`](KeyErrorKind::Empty),
    /// [`TooLong`](KeyErrorKind::TooLong), [`Blank`](KeyErrorKind::Blank), or
    /// [`Syntax`](KeyErrorKind::Syntax) for anything but printable ASCII.
    pub fn new(value: impl AsRef<str>) -> Result<Self, KeyError> {
        let value = value.as_ref();
        check(value.as_bytes()).map_err(KeyError::new)?;
        Ok(Self(Arc::from(value)))
    }

    /// The key as the client chose it, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(value: &[u8]) -> Result<(), KeyErrorKind> {
    if value.is_empty() {
        return Err(KeyErrorKind::Empty);
    }
    // The length comes first, so that a huge value costs nothing.
    if value.len() > MAX_KEY_BYTES {
        return Err(KeyErrorKind::TooLong);
    }
    if !value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(KeyErrorKind::Syntax);
    }
    if value.iter().all(|byte| *byte == b' ') {
        return Err(KeyErrorKind::Blank);
    }
    Ok(())
}

impl AsRef<str> for IdempotencyKey {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for IdempotencyKey {
    type Err = KeyError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::new(value)
    }
}

impl TryFrom<&str> for IdempotencyKey {
    type Error = KeyError;

    fn try_from(value: &str) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = KeyError;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
        let [a, b, c, d, ..] = digest;
        let short = u32::from_be_bytes([a, b, c, d]);
        write!(f, "IdempotencyKey(#{short:08x}, {} bytes)", self.0.len())
    }
}

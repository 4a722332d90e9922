use std::{error::Error, fmt};

/// The error of a value that is no valid idempotency key.
///
/// Its text says what is wrong and what the client can do, and never contains
/// the value, so it can be sent to the client and logged.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::{IdempotencyKey, KeyErrorKind};
///
/// let error = IdempotencyKey::new("clé").unwrap_err();
/// assert_eq!(error.kind(), KeyErrorKind::Syntax);
/// assert!(!error.to_string().contains("clé"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    kind: KeyErrorKind,
}

impl KeyError {
    pub(super) const fn new(kind: KeyErrorKind) -> Self {
        Self { kind }
    }

    /// The error of a request that carries the key header more than once.
    ///
    /// Several lines are refused even if they agree: which of them an
    /// intermediary would have kept cannot be known.
    #[must_use]
    pub const fn repeated() -> Self {
        Self::new(KeyErrorKind::Repeated)
    }

    /// The error of a key taken from a document whose value is no text, such
    /// as a number or an object in JSON.
    #[must_use]
    pub const fn not_text() -> Self {
        Self::new(KeyErrorKind::NotText)
    }

    /// What is wrong with the key.
    #[must_use]
    pub const fn kind(&self) -> KeyErrorKind {
        self.kind
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            KeyErrorKind::Empty => {
                "the idempotency key is empty; send 1 to 255 characters, for example a random UUID"
            }
            KeyErrorKind::Blank => {
                "the idempotency key consists of spaces only; send a unique value, for example a \
                 random UUID"
            }
            KeyErrorKind::TooLong => {
                "the idempotency key is longer than 255 bytes; send a shorter one, for example a \
                 random UUID"
            }
            KeyErrorKind::Syntax => {
                "the idempotency key is malformed; send one string of printable ASCII characters \
                 in double quotes, in which a double quote and a backslash are preceded by a \
                 backslash"
            }
            KeyErrorKind::Repeated => {
                "the request carries more than one idempotency key; send exactly one"
            }
            KeyErrorKind::Format => {
                "the idempotency key does not have the format that this server requires; see its \
                 documentation"
            }
            KeyErrorKind::NotText => "the idempotency key is not a string; send it as one",
        })
    }
}

impl Error for KeyError {}

/// What is wrong with a key; see [`KeyError::kind`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyErrorKind {
    /// There is no character in it.
    Empty,
    /// There are only spaces in it.
    Blank,
    /// It is longer than [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES).
    TooLong,
    /// It has a byte that is not printable ASCII, or does not follow the
    /// grammar of the header.
    Syntax,
    /// The request carries several of them.
    Repeated,
    /// It is not of the form that the server's [`KeyFormat`](super::KeyFormat)
    /// asks for.
    Format,
    /// The place it was looked for in holds something else than text.
    NotText,
}

use std::{error::Error, fmt, str::FromStr};

/// A pointer to a value inside a JSON document ([RFC 6901]).
///
/// It is empty for the whole document, or a sequence of names and array
/// indexes, each after a `/`. In a name `~1` stands for `/` and `~0` for `~`.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::JsonPointer;
///
/// let pointer = JsonPointer::parse("/data/0/a~1b")?;
/// assert_eq!(pointer.tokens().collect::<Vec<_>>(), ["data", "0", "a/b"]);
/// assert!(JsonPointer::parse("data").is_err());
/// # Ok::<(), tower_idempotency_core::PointerError>(())
/// ```
///
/// [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPointer {
    text: String,
    tokens: Vec<String>,
}

impl JsonPointer {
    /// Checks the text of a pointer.
    ///
    /// # Errors
    ///
    /// See [`PointerErrorKind`].
    pub fn parse(text: impl Into<String>) -> Result<Self, PointerError> {
        let text = text.into();
        match unescaped_tokens(&text) {
            Ok(tokens) => Ok(Self { text, tokens }),
            Err(kind) => Err(PointerError { kind, text }),
        }
    }

    /// The text of the pointer, with its escapes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names and indexes from the outside to the inside, without escapes.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(String::as_str)
    }
}

fn unescaped_tokens(text: &str) -> Result<Vec<String>, PointerErrorKind> {
    let mut tokens = text.split('/');
    if tokens.next().is_some_and(|before| !before.is_empty()) {
        return Err(PointerErrorKind::NoSlash);
    }
    tokens.map(unescaped).collect()
}

fn unescaped(token: &str) -> Result<String, PointerErrorKind> {
    let mut name = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        name.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(PointerErrorKind::Escape),
            },
            other => other,
        });
    }
    Ok(name)
}

impl FromStr for JsonPointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Debug for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonPointer({:?})", self.text)
    }
}

/// The error of a text that is no JSON pointer.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::{JsonPointer, PointerErrorKind};
///
/// let error = JsonPointer::parse("amount").unwrap_err();
/// assert_eq!(error.kind(), PointerErrorKind::NoSlash);
/// assert_eq!(error.to_string(), r#"the JSON pointer "amount" does not begin with a slash"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointerError {
    kind: PointerErrorKind,
    text: String,
}

impl PointerError {
    /// What is wrong with the pointer.
    #[must_use]
    pub const fn kind(&self) -> PointerErrorKind {
        self.kind
    }
}

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.kind {
            PointerErrorKind::NoSlash => "does not begin with a slash",
            PointerErrorKind::Escape => "has a tilde that is not followed by 0 or 1",
        };
        write!(f, "the JSON pointer {:?} {problem}", self.text)
    }
}

impl Error for PointerError {}

/// What is wrong with a JSON pointer; see [`PointerError::kind`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PointerErrorKind {
    /// It is not empty and does not begin with `/`.
    NoSlash,
    /// A `~` is not followed by `0` or `1`.
    Escape,
}

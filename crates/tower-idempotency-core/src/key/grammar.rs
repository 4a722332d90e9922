use std::str;

use super::{IdempotencyKey, KeyError, KeyErrorKind, MAX_KEY_BYTES, parameters};

/// Which spellings of the header value are taken.
///
/// The default is [`Lenient`](Self::Lenient): nearly every client in use sends
/// the key without quotes, whatever the draft says. Choose
/// [`Strict`](Self::Strict) for a new API whose clients are all yours.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeySyntax {
    /// A quoted string, or the bare key if it has no space, double quote,
    /// comma, semicolon or backslash.
    #[default]
    Lenient,
    /// Exactly one Item of RFC 9651 whose value is a String.
    Strict,
}

/// Reads the key from the value of one header line.
///
/// The header follows the expired Internet-Draft
/// [draft-ietf-httpapi-idempotency-key-header-07][draft], whose value is a
/// String of [RFC 9651]. [`KeySyntax::Lenient`] also takes the bare form that
/// most clients send; `"k"` and `k` are the same key then.
///
/// Parameters after the quoted form are checked for their syntax and otherwise
/// ignored, as the RFC asks. Spaces around the value are dropped. A bare key
/// must not contain a comma, which is how an intermediary joins two lines, nor
/// a semicolon, which is how parameters begin. Nothing is repaired or decoded
/// further: `%41` is three characters.
///
/// This function knows nothing of the number of header lines: a caller that
/// finds several reports [`KeyError::repeated`].
///
/// A value of any length is answered in time linear in its length and without
/// an allocation that depends on it.
///
/// # Errors
///
/// The kind is [`Empty`](KeyErrorKind::Empty), [`Blank`](KeyErrorKind::Blank),
/// [`TooLong`](KeyErrorKind::TooLong) or [`Syntax`](KeyErrorKind::Syntax). Only
/// the first problem found is reported.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::{KeySyntax, parse_header};
///
/// let quoted = parse_header(br#""order-17""#, KeySyntax::Lenient)?;
/// let bare = parse_header(b"order-17", KeySyntax::Lenient)?;
/// assert_eq!(quoted, bare);
/// assert!(parse_header(b"order-17", KeySyntax::Strict).is_err());
///
/// let key = parse_header(br#""say \"hi\"";v=1"#, KeySyntax::Strict)?;
/// assert_eq!(key.as_str(), r#"say "hi""#);
///
/// assert!(parse_header(b"k-1, k-1", KeySyntax::Lenient).is_err());
/// # Ok::<(), tower_idempotency_core::KeyError>(())
/// ```
///
/// [draft]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/07/
/// [RFC 9651]: https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3
pub fn parse_header(value: &[u8], syntax: KeySyntax) -> Result<IdempotencyKey, KeyError> {
    let value = trim_spaces(value);
    match value.first() {
        None => Err(KeyError::new(KeyErrorKind::Empty)),
        Some(b'"') => quoted(value),
        Some(_) => match syntax {
            KeySyntax::Lenient => bare(value),
            KeySyntax::Strict => Err(KeyError::new(KeyErrorKind::Syntax)),
        },
    }
}

/// Drops spaces, but not tabs, of which RFC 9651 knows nothing here; HTTP/1.1
/// servers have removed both before.
fn trim_spaces(mut value: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = value {
        value = rest;
    }
    value
}

fn bare(value: &[u8]) -> Result<IdempotencyKey, KeyError> {
    if value.len() > MAX_KEY_BYTES {
        return Err(KeyError::new(KeyErrorKind::TooLong));
    }
    let is_separator = |byte: &u8| matches!(byte, b' ' | b'"' | b',' | b';' | b'\\');
    match str::from_utf8(value) {
        Ok(text) if !value.iter().any(is_separator) => IdempotencyKey::new(text),
        _ => Err(KeyError::new(KeyErrorKind::Syntax)),
    }
}

fn quoted(value: &[u8]) -> Result<IdempotencyKey, KeyError> {
    if let Some(text) = without_escapes(value) {
        return IdempotencyKey::new(text);
    }
    let key = unescaped(value).map_err(KeyError::new)?;
    IdempotencyKey::new(key.as_str())
}

/// Reads what nearly every client sends, which needs no copy: nothing behind
/// the string, and nothing escaped in it. `None` says nothing about the value.
fn without_escapes(value: &[u8]) -> Option<&str> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if text.len() > MAX_KEY_BYTES || !text.iter().all(is_plain) {
        return None;
    }
    str::from_utf8(text).ok()
}

fn unescaped(value: &[u8]) -> Result<Unquoted, KeyErrorKind> {
    let mut key = Unquoted::new();
    let mut bytes = value.iter().skip(1);
    loop {
        match bytes.next() {
            Some(b'"') => break,
            Some(b'\\') => match bytes.next() {
                Some(byte @ (b'"' | b'\\')) => key.push(*byte)?,
                _ => return Err(KeyErrorKind::Syntax),
            },
            Some(byte @ b' '..=b'~') => key.push(*byte)?,
            _ => return Err(KeyErrorKind::Syntax),
        }
    }
    let rest = value.get(value.len() - bytes.len()..).unwrap_or_default();
    if !parameters::are_well_formed(rest) {
        return Err(KeyErrorKind::Syntax);
    }
    Ok(key)
}

/// The characters of a key without quotes and escapes. It has a fixed size, so
/// that the length of the input decides nothing about memory.
struct Unquoted {
    bytes: [u8; MAX_KEY_BYTES],
    len: usize,
}

impl Unquoted {
    const fn new() -> Self {
        Self {
            bytes: [0; MAX_KEY_BYTES],
            len: 0,
        }
    }

    fn push(&mut self, byte: u8) -> Result<(), KeyErrorKind> {
        let slot = self.bytes.get_mut(self.len).ok_or(KeyErrorKind::TooLong)?;
        *slot = byte;
        self.len += 1;
        Ok(())
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).expect("only ASCII is pushed")
    }
}

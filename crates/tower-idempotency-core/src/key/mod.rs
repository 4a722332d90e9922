//! The key a client sends to name one intended operation.
//!
//! Every way to obtain a key ends in [`IdempotencyKey::new`] or
//! [`parse_header`], so a key that exists is a valid key and no store ever
//! sees another. The header follows the expired Internet-Draft
//! [draft-ietf-httpapi-idempotency-key-header-07][draft], whose value is a
//! String of [RFC 9651]; [`KeySyntax::Lenient`] also takes the unquoted form
//! that most clients send.
//!
//! 1. A value that is empty, blank, longer than [`MAX_KEY_BYTES`] or not
//!    printable ASCII is refused.
//! 2. A header value that is neither a quoted string nor, in lenient syntax, a
//!    bare key is refused; it is never guessed at or repaired.
//! 3. A key that the server's [`KeyFormat`] does not admit is refused.
//!
//! A refused key must refuse the request. Ignoring it would run a request
//! unprotected whose sender believes it protected.
//!
//! # What this does not do
//!
//! It does not look at the number of header lines: a caller that finds several
//! reports [`KeyError::repeated`].
//!
//! # Example
//!
//! ```
//! use tower_idempotency_core::key::{KeyErrorKind, KeySyntax, parse_header};
//!
//! let quoted = parse_header(br#""order-17""#, KeySyntax::Lenient)?;
//! let bare = parse_header(b"order-17", KeySyntax::Lenient)?;
//! assert_eq!(quoted, bare);
//!
//! let refused = parse_header(b"order-17", KeySyntax::Strict).unwrap_err();
//! assert_eq!(refused.kind(), KeyErrorKind::Syntax);
//! # Ok::<(), tower_idempotency_core::key::KeyError>(())
//! ```
//!
//! [draft]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/07/
//! [RFC 9651]: https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3

mod error;
mod format;
mod grammar;
mod idempotency_key;
mod parameters;

#[cfg(test)]
mod header_table;
#[cfg(test)]
mod tests;

pub use self::{
    error::{KeyError, KeyErrorKind},
    format::KeyFormat,
    grammar::{KeySyntax, parse_header},
    idempotency_key::{IdempotencyKey, MAX_KEY_BYTES},
};

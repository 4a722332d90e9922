//! The key a client sends to name one intended operation.
//!
//! Every way to obtain a key ends in [`IdempotencyKey::new`], so a key that
//! exists is a valid key and no store ever sees another. A refused key must
//! refuse the request: ignoring it would run a request unprotected whose sender
//! believes it protected.

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

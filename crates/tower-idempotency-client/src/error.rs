//! Why there is no answer.

use std::{error::Error, fmt};

/// Why a request of an operation has no answer.
///
/// It is inside of [`reqwest_middleware::Error::Middleware`]; [`SendError::of`] finds it.
/// Its source is what the last try failed with. The text of that one can hold the address that was
/// called.
#[derive(Debug)]
pub struct SendError {
    kind: SendErrorKind,
    tries: u32,
    source: Box<dyn Error + Send + Sync>,
}

/// The kinds of [`SendError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// No request of the operation ever left this machine: no try got a connection.
    NotSent,
    /// A request was sent, by this call or an earlier one, and what became of it is not known.
    OutcomeUnknown,
    /// As `OutcomeUnknown`, and it was not tried again since its body is a stream, which can be
    /// sent only once. Send the same operation again with the body from its start.
    BodyUsedUp,
}

impl SendError {
    pub(crate) fn new(
        kind: SendErrorKind,
        tries: u32,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            tries,
            source: source.into(),
        }
    }

    /// Finds it in what `send` returned; nothing if the error is somebody else's.
    #[must_use]
    pub fn of(error: &reqwest_middleware::Error) -> Option<&Self> {
        match error {
            reqwest_middleware::Error::Middleware(error) => error.downcast_ref(),
            reqwest_middleware::Error::Reqwest(_) => None,
        }
    }

    /// Returns what kind of error this is.
    #[must_use]
    pub const fn kind(&self) -> SendErrorKind {
        self.kind
    }

    /// Returns how many tries there were.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SendErrorKind::NotSent => "the request was not sent",
            SendErrorKind::OutcomeUnknown => {
                "the request was sent, and what became of it is not known"
            }
            SendErrorKind::BodyUsedUp => {
                "the request was sent, and cannot be sent again since its body is used up"
            }
        })
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// A try took longer than its time.
#[derive(Debug)]
pub(crate) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer came in time")
    }
}

impl Error for TooSlow {}

//! One error for many: the driver's cannot be copied.

use std::{error::Error as StdError, fmt, sync::Arc};

use sqlx::Error;
use tower_idempotency_batch::BatchError;
use tower_idempotency_core::StoreErrorKind;

/// An error of the driver that everyone in a batch gets.
#[derive(Clone, Debug)]
pub(crate) struct SharedError(Arc<Error>);

impl From<Error> for SharedError {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Returns the error that a copy stands for; any other error is returned as it is.
pub(crate) fn original(error: &Error) -> &Error {
    let Error::AnyDriverError(inner) = error else {
        return error;
    };
    let shared = inner.downcast_ref::<SharedError>();
    shared.map_or(error, |shared| &shared.0)
}

/// Why an operation did not get as far as the driver, or nobody heard how it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stuck {
    /// Too many claims are waiting.
    Full,
    /// The batch did not end in time.
    TimedOut,
}

impl Stuck {
    pub(crate) fn into_error(self) -> Error {
        Error::AnyDriverError(Box::new(self))
    }

    /// Returns the kind of an error that may be one of these.
    pub(crate) fn kind(error: &Error) -> Option<StoreErrorKind> {
        let Error::AnyDriverError(error) = error else {
            return None;
        };
        error.downcast_ref::<Self>().map(|stuck| match stuck {
            Self::Full => StoreErrorKind::Full,
            Self::TimedOut => StoreErrorKind::Timeout,
        })
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many claims are waiting",
            Self::TimedOut => "a batch did not end in time",
        })
    }
}

impl StdError for Stuck {}

/// Turns what a batch says into the driver's words.
pub(crate) fn of_batch(error: BatchError<SharedError>) -> Error {
    match error {
        BatchError::Failed(error) => Error::AnyDriverError(Box::new(error)),
        BatchError::Full => Stuck::Full.into_error(),
        // The operation may have run, and can be asked again.
        BatchError::Interrupted => Error::WorkerCrashed,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::store_error;

    #[test]
    fn a_shared_error_is_told_apart_as_the_first_one_is() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        let kinds = [
            (Error::Io(broken), StoreErrorKind::Unavailable),
            (Error::PoolTimedOut, StoreErrorKind::Timeout),
            (Error::PoolClosed, StoreErrorKind::Unavailable),
            (
                Error::Decode("unreadable".into()),
                StoreErrorKind::Unreadable,
            ),
            (Stuck::Full.into_error(), StoreErrorKind::Full),
            (Stuck::TimedOut.into_error(), StoreErrorKind::Timeout),
            (Error::RowNotFound, StoreErrorKind::Internal),
        ];
        for (error, kind) in kinds {
            let text = error.to_string();
            let copy = of_batch(BatchError::Failed(error.into()));
            let copy = store_error(copy);
            assert_eq!(copy.kind(), kind, "{text}");
            let source = copy.source().map(ToString::to_string);
            assert!(source.is_some_and(|source| text.ends_with(&source)));
        }
    }
}

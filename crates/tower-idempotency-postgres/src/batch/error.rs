//! One error for many: the driver's cannot be copied.

use std::{borrow::Cow, error::Error as StdError, fmt, io, sync::Arc};

use sqlx::{
    Error,
    error::{DatabaseError, ErrorKind},
};
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

impl SharedError {
    /// Makes an error of the driver's again, that is told apart as the first one is.
    fn into_error(self) -> Error {
        match &*self.0 {
            Error::Database(_) => Error::Database(Box::new(self)),
            Error::Io(error) => Error::Io(io::Error::new(error.kind(), self)),
            Error::PoolTimedOut => Error::PoolTimedOut,
            Error::PoolClosed => Error::PoolClosed,
            Error::WorkerCrashed => Error::WorkerCrashed,
            Error::Tls(_) => Error::Tls(Box::new(self)),
            Error::Decode(_) | Error::ColumnDecode { .. } => Error::Decode(Box::new(self)),
            // What is new or unusual is read by what it says of itself.
            _ => Error::AnyDriverError(Box::new(self)),
        }
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Error::Database(error) => error.fmt(f),
            Error::Io(error) => error.fmt(f),
            error => error.fmt(f),
        }
    }
}

impl StdError for SharedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Error::Database(error) => error.source(),
            error => error.source(),
        }
    }
}

impl DatabaseError for SharedError {
    fn message(&self) -> &str {
        self.0
            .as_database_error()
            .map_or("", DatabaseError::message)
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.0.as_database_error()?.code()
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn constraint(&self) -> Option<&str> {
        self.0.as_database_error()?.constraint()
    }

    fn table(&self) -> Option<&str> {
        self.0.as_database_error()?.table()
    }

    fn kind(&self) -> ErrorKind {
        self.0
            .as_database_error()
            .map_or(ErrorKind::Other, DatabaseError::kind)
    }
}

/// Why an operation did not get as far as the driver.
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
        if let Some(shared) = error.downcast_ref::<SharedError>() {
            return Self::kind(&shared.0);
        }
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
        BatchError::Failed(error) => error.into_error(),
        BatchError::Full => Stuck::Full.into_error(),
        // The operation may have run, and can be asked again.
        BatchError::Interrupted => Error::WorkerCrashed,
    }
}

/// Tells whether the server refused a batch for the sake of one operation in it:
/// of its data, or of a row that it met.
///
/// What concerns the connection, the server, the tables or other transactions concerns everyone.
pub(crate) fn is_poison(error: &Error) -> bool {
    let Some(code) = error.as_database_error().and_then(DatabaseError::code) else {
        return false;
    };
    let is_everybodys = matches!(
        code.get(..2),
        Some("08" | "0A" | "25" | "28" | "3D" | "3F" | "40" | "53" | "57" | "58")
    ) || matches!(&*code, "42P01" | "42703" | "42883");
    !is_everybodys
}

/// Tells whether the server refused a batch since somebody else has just made one of its records.
pub(crate) fn is_race(error: &Error) -> bool {
    // unique_violation
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("23505")
            && error.constraint() == Some("idempotency_keys_pkey")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(error: Error) -> Error {
        SharedError::from(error).into_error()
    }

    #[test]
    fn a_shared_error_is_told_apart_as_the_first_one_is() {
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        let kinds = [
            (Error::Io(broken), StoreErrorKind::Unavailable),
            (Error::PoolTimedOut, StoreErrorKind::Timeout),
            (Error::WorkerCrashed, StoreErrorKind::Unavailable),
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
            let passing = crate::error::is_passing(&error);
            let error = shared(error);
            assert_eq!(crate::error::is_passing(&error), passing, "{text}");
            assert_eq!(crate::error::store_error(error).kind(), kind, "{text}");
        }
    }
}

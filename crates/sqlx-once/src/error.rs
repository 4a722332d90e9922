use std::{error, fmt};

use crate::violation::is_serialization_failure;

/// Why something could not be done once.
///
/// Outcomes (a row that was there, a row that somebody else has) are values; this is for failures.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<sqlx::Error>,
}

/// What a caller can tell errors apart by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database or the connection to it failed, a violation of any constraint that was not
    /// asked for included. It is the [`source`](error::Error::source).
    Database,
    /// A number without gaps was asked for outside of a transaction, where it would stay used
    /// whatever happens next.
    NoTransaction,
    /// Nothing was inserted, and no row was found either: it was deleted in between (then trying
    /// again helps), or the two statements do not speak of the same token.
    NothingThere,
    /// Two transactions met and this one was chosen to give way: a serialization failure (any wait
    /// for a row above READ COMMITTED can end so), a deadlock, or, in SQLite, a lock that could not
    /// be had. Roll back, and run the whole transaction again.
    Serialization,
    /// The name of a series or period is empty, too long, or has other characters than letters,
    /// digits, `_`, `.` and `-`.
    Series,
    /// A guarded update changed several rows, so that it hands out nothing to exactly one caller.
    /// Roll back.
    SeveralRows,
    /// The insert does not name the conflict that it is to pass over, does something on it, or
    /// returns nothing. It was not run.
    Statement,
    /// The connection, chosen when the program runs, is neither Postgres nor SQLite.
    Unsupported,
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// For those who pass on errors of the driver's.
    pub(crate) fn into_sqlx(self) -> sqlx::Error {
        let Self { kind, source } = self;
        source.unwrap_or_else(|| sqlx::Error::Configuration(Box::new(Self::new(kind))))
    }

    /// Returns what went wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let kind = if is_serialization_failure(&error) {
            ErrorKind::Serialization
        } else {
            ErrorKind::Database
        };
        Self {
            kind,
            source: Some(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Database => "the database did not do it",
            ErrorKind::NoTransaction => {
                "a number without gaps must be taken in the transaction that uses it"
            }
            ErrorKind::NothingThere => {
                "nothing was inserted and nothing found: the row was deleted in between, or the \
                 statements speak of different tokens"
            }
            ErrorKind::Serialization => {
                "another transaction was in the way: roll back, and run all of it again"
            }
            ErrorKind::Series => {
                "a series and its period are letters, digits, '_', '.' and '-', at most 30 and 16"
            }
            ErrorKind::SeveralRows => "the guard let several rows through: roll back",
            ErrorKind::Statement => {
                "the insert must say ON CONFLICT (..) DO NOTHING and RETURNING .."
            }
            ErrorKind::Unsupported => "the connection is neither Postgres nor SQLite",
        })
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// An error that may have come from the database.
///
/// [`Retry`](crate::Retry) asks it which constraint was violated. Implement it for an error type of
/// your own:
///
/// ```
/// use sqlx_once::AsSqlxError;
///
/// enum StartError {
///     Closed,
///     Database(sqlx::Error),
/// }
///
/// impl AsSqlxError for StartError {
///     fn as_sqlx_error(&self) -> Option<&sqlx::Error> {
///         match self {
///             Self::Closed => None,
///             Self::Database(error) => Some(error),
///         }
///     }
/// }
/// # let _ = StartError::Closed.as_sqlx_error();
/// # let _ = StartError::Database(sqlx::Error::RowNotFound).as_sqlx_error();
/// ```
pub trait AsSqlxError {
    /// Returns the database's error, if this is one.
    fn as_sqlx_error(&self) -> Option<&sqlx::Error>;
}

impl AsSqlxError for sqlx::Error {
    fn as_sqlx_error(&self) -> Option<&sqlx::Error> {
        Some(self)
    }
}

impl AsSqlxError for Error {
    fn as_sqlx_error(&self) -> Option<&sqlx::Error> {
        self.source.as_ref()
    }
}

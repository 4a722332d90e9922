//! Telling the driver's errors apart, by result code and never by text.

use sqlx::Error;
use tower_idempotency_core::{StoreError, StoreErrorKind};

use crate::batch::{Stuck, original};

/// Wraps an error of the driver.
pub(crate) fn store_error(error: Error) -> StoreError {
    let kind = kind(&error);
    match error {
        // It is no error of that driver: what is in it speaks for itself.
        Error::AnyDriverError(inner) => StoreError::new(kind, inner),
        error => StoreError::new(kind, error),
    }
}

/// Tells whether trying again at once can help: another connection was in the way, in a case for
/// which SQLite does not wait, or a batch came to the end of its bound.
pub(crate) fn is_passing(error: &Error) -> bool {
    let error = original(error);
    matches!(error, Error::PoolTimedOut)
        || matches!(primary_code(error), Some(5 | 6))
        || Stuck::kind(error) == Some(StoreErrorKind::Timeout)
}

/// Tells whether SQLite has refused a statement for the sake of its own data, or has run it and
/// found a record that nobody can read. Then the transaction around it goes on.
pub(crate) fn is_of_one(error: &Error) -> bool {
    match error {
        Error::ColumnDecode { .. } | Error::Decode(_) => true,
        // TOOBIG, CONSTRAINT, MISMATCH
        error => matches!(primary_code(error), Some(18..=20)),
    }
}

fn kind(error: &Error) -> StoreErrorKind {
    let error = original(error);
    if let Some(kind) = Stuck::kind(error) {
        return kind;
    }
    match error {
        Error::PoolTimedOut => StoreErrorKind::Timeout,
        Error::PoolClosed | Error::WorkerCrashed | Error::Io(_) => StoreErrorKind::Unavailable,
        Error::ColumnDecode { .. } | Error::Decode(_) => StoreErrorKind::Unreadable,
        _ => match primary_code(error) {
            // The statements are constants: the generic error can only mean a missing table or
            // column.
            Some(1) => StoreErrorKind::Schema,
            // BUSY, LOCKED
            Some(5 | 6) => StoreErrorKind::Timeout,
            // READONLY, IOERR, CANTOPEN
            Some(8 | 10 | 14) => StoreErrorKind::Unavailable,
            // FULL
            Some(13) => StoreErrorKind::Full,
            _ => StoreErrorKind::Internal,
        },
    }
}

/// Returns the result code without its extension.
fn primary_code(error: &Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

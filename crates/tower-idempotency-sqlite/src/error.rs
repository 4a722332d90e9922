//! Telling the driver's errors apart, by result code and never by text.

use sqlx::Error;
use tower_idempotency_core::{StoreError, StoreErrorKind};

/// Wraps an error of the driver.
pub(crate) fn store_error(error: Error) -> StoreError {
    StoreError::new(kind(&error), error)
}

/// Tells whether another connection was in the way, in a case for which SQLite does not wait.
pub(crate) fn is_busy(error: &Error) -> bool {
    matches!(primary_code(error), Some(5 | 6))
}

fn kind(error: &Error) -> StoreErrorKind {
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

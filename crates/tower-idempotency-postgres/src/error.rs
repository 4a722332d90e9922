//! Telling the driver's errors apart, by code and never by text.

use std::borrow::Cow;

use sqlx::Error;
use tower_idempotency_core::{StoreError, StoreErrorKind};

use crate::batch::Stuck;

/// Wraps an error of the driver.
pub(crate) fn store_error(error: Error) -> StoreError {
    StoreError::new(kind(&error), error)
}

/// Tells whether trying again at once can help: the connection broke, or two transactions met.
///
/// Every statement of the store can be run again, since it names its token.
pub(crate) fn is_passing(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::WorkerCrashed => true,
        Error::Database(error) => error.code().is_some_and(|code| {
            matches!(&*code, "40001" | "40P01" | "57P01" | "57P02" | "57P03")
                || code.starts_with("08")
        }),
        _ => false,
    }
}

/// Tells whether two transactions met, and this one was chosen to give way.
pub(crate) fn is_conflict(error: &Error) -> bool {
    // serialization_failure, deadlock_detected
    matches!(sqlstate(error).as_deref(), Some("40001" | "40P01"))
}

/// Tells whether the server has refused to commit, so that the transaction is certainly undone.
///
/// An error of the connection or of its end says nothing of the sort.
pub(crate) fn is_refusal(error: &Error) -> bool {
    sqlstate(error).is_some_and(|code| !code.starts_with("08") && !code.starts_with("57"))
}

/// Tells whether an earlier statement of the transaction has failed, so that no other one can run.
pub(crate) fn is_aborted(error: &Error) -> bool {
    // in_failed_sql_transaction
    sqlstate(error).as_deref() == Some("25P02")
}

/// Tells whether the server has refused a statement with one of the store's own texts.
pub(crate) fn says(error: &Error, text: &str) -> bool {
    // invalid_text_representation
    sqlstate(error).as_deref() == Some("22P02")
        && error
            .as_database_error()
            .is_some_and(|error| error.message().contains(text))
}

fn sqlstate(error: &Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

fn kind(error: &Error) -> StoreErrorKind {
    if let Some(kind) = Stuck::kind(error) {
        return kind;
    }
    match error {
        Error::PoolTimedOut => StoreErrorKind::Timeout,
        Error::Io(_) | Error::Tls(_) | Error::PoolClosed | Error::WorkerCrashed => {
            StoreErrorKind::Unavailable
        }
        Error::Database(error) => error
            .code()
            .map_or(StoreErrorKind::Internal, |code| kind_of_sqlstate(&code)),
        Error::ColumnDecode { .. } | Error::Decode(_) => StoreErrorKind::Unreadable,
        _ => StoreErrorKind::Internal,
    }
}

fn kind_of_sqlstate(code: &str) -> StoreErrorKind {
    match code {
        // undefined_table, undefined_column, undefined_function, invalid_schema_name
        "42P01" | "42703" | "42883" | "3F000" => StoreErrorKind::Schema,
        // lock_not_available, query_canceled
        "55P03" | "57014" => StoreErrorKind::Timeout,
        // disk_full
        "53100" => StoreErrorKind::Full,
        _ => match code.get(..2) {
            // connection exceptions, insufficient resources, operator intervention,
            // transaction rollback
            Some("08" | "53" | "57" | "40") => StoreErrorKind::Unavailable,
            // invalid authorization, a database that is not there
            Some("28" | "3D") => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Internal,
        },
    }
}

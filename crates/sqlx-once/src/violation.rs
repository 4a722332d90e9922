use sqlx::Error;

use crate::AsSqlxError;

/// Tells whether an error is a violation of this one unique constraint.
///
/// The error is sqlx's, this crate's, or one of your own ([`AsSqlxError`]).
///
/// A unique violation says "this is a duplicate" only if it is of the constraint that means so. To
/// take any other one for it (a sequence number, a patient's id) turns a real collision into a fake
/// success.
///
/// # Postgres
///
/// `constraint` is the name of the constraint or unique index. The error must have SQLSTATE 23505
/// and name it; its text does not matter, so the server's language does not either.
///
/// # SQLite
///
/// SQLite reports no names: the extended code (2067, or 1555 for a primary key) says that something
/// unique was violated, and the message alone says what. `constraint` is what stands there:
/// `"visits.token"`, `"visits.student, visits.day"` in the order of the index, or, for an index
/// on expressions, the index's name. Two unique indexes on the same columns, one of them partial,
/// say, cannot be told apart.
///
/// # When not to use it
///
/// To find an existing row by its token, [`insert_or_fetch`](crate::insert_or_fetch) needs no error
/// at all, and leaves an open transaction usable.
///
/// # Example
///
/// ```
/// use sqlx_once::is_violation_of;
///
/// /// The same on both databases.
/// fn is_taken(error: &sqlx::Error) -> bool {
///     is_violation_of(error, "users_email_key") || is_violation_of(error, "users.email")
/// }
/// assert!(!is_taken(&sqlx::Error::RowNotFound));
/// ```
#[must_use]
pub fn is_violation_of<E: AsSqlxError + ?Sized>(error: &E, constraint: &str) -> bool {
    let error = error.as_sqlx_error().and_then(Error::as_database_error);
    let Some(error) = error else {
        return false;
    };
    match error.code().as_deref() {
        Some("23505") => error.constraint() == Some(constraint),
        // SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY
        Some("2067" | "1555") => names_in_sqlite(error.message(), constraint),
        _ => false,
    }
}

/// Tells whether the database says that transactions met, so that running all of it again can help.
pub(crate) fn is_serialization_failure(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        // serialization_failure, deadlock_detected
        Some("40001" | "40P01") => true,
        // SQLITE_BUSY, SQLITE_LOCKED, and what they are extended by
        Some(code) if code.len() < 5 => code
            .parse::<u32>()
            .is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
        _ => false,
    }
}

fn names_in_sqlite(message: &str, constraint: &str) -> bool {
    let Some(what) = message.strip_prefix("UNIQUE constraint failed: ") else {
        return false;
    };
    let index = what
        .strip_prefix("index '")
        .and_then(|name| name.strip_suffix('\''));
    !constraint.is_empty() && (what == constraint || index == Some(constraint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_names_columns_or_an_index_of_expressions() {
        let names = |what: &str, constraint| {
            names_in_sqlite(&format!("UNIQUE constraint failed: {what}"), constraint)
        };
        assert!(names("a.token", "a.token"));
        assert!(names("a.x, a.y", "a.x, a.y"));
        assert!(names("index 'a_lower'", "a_lower"));
        for other in ["token", "a.tok", "aa.token", "", "a_lower'", "a.x"] {
            assert!(!names("a.token", other), "{other}");
            assert!(!names("a.x, a.y", other), "{other}");
        }
    }
}

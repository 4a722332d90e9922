use std::{error::Error, fmt};

/// Why the inbox could not do what it was asked for.
///
/// The cause is its [`source`](Error::source).
#[derive(Debug)]
pub struct InboxError {
    kind: InboxErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of [`InboxError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum InboxErrorKind {
    /// A constraint other than that on a trigger's keys was violated.
    Integrity,
    /// The database failed in another way.
    Internal,
    /// The table or one of its indexes is missing, or is not what the inbox needs.
    Schema,
    /// The database did not answer in time.
    Timeout,
    /// The database cannot be reached.
    Unavailable,
    /// What is kept cannot be read back.
    Unreadable,
}

impl InboxError {
    pub(crate) fn new(
        kind: InboxErrorKind,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// Tells what kind of error this is.
    #[must_use]
    pub const fn kind(&self) -> InboxErrorKind {
        self.kind
    }
}

impl From<InboxErrorKind> for InboxError {
    fn from(kind: InboxErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<sqlx::Error> for InboxError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(kind_of(&error), error)
    }
}

impl fmt::Display for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            InboxErrorKind::Integrity => "the inbox's table refused a change",
            InboxErrorKind::Internal => "the inbox's database failed",
            InboxErrorKind::Schema => {
                "the inbox's table or an index of it is missing or is another one: \
                 run its migrations"
            }
            InboxErrorKind::Timeout => "the inbox's database did not answer in time",
            InboxErrorKind::Unavailable => "the inbox's database cannot be reached",
            InboxErrorKind::Unreadable => "a kept delivery cannot be read",
        })
    }
}

impl Error for InboxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Writes an error and its sources in one line, for a log field.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

/// Tells errors apart by code, never by text.
fn kind_of(error: &sqlx::Error) -> InboxErrorKind {
    match error {
        sqlx::Error::PoolTimedOut => InboxErrorKind::Timeout,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => InboxErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => InboxErrorKind::Unreadable,
        sqlx::Error::Database(error) => error
            .code()
            .map_or(InboxErrorKind::Internal, |code| kind_of_code(&code)),
        _ => InboxErrorKind::Internal,
    }
}

/// Postgres has five characters, SQLite a number whose low byte is the primary code.
fn kind_of_code(code: &str) -> InboxErrorKind {
    if let (true, Ok(number)) = (code.len() < 5, code.parse::<u32>()) {
        return match number & 0xff {
            1 => InboxErrorKind::Schema,
            5 | 6 => InboxErrorKind::Timeout,
            8 | 10 | 14 => InboxErrorKind::Unavailable,
            19 => InboxErrorKind::Integrity,
            _ => InboxErrorKind::Internal,
        };
    }
    match code {
        "42P01" | "42703" | "3F000" | "42P10" => InboxErrorKind::Schema,
        "55P03" | "57014" => InboxErrorKind::Timeout,
        _ => match code.get(..2) {
            Some("23") => InboxErrorKind::Integrity,
            Some("08" | "53" | "57" | "40" | "28" | "3D") => InboxErrorKind::Unavailable,
            _ => InboxErrorKind::Internal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_are_told_apart() {
        assert_eq!(kind_of_code("23505"), InboxErrorKind::Integrity);
        assert_eq!(kind_of_code("2067"), InboxErrorKind::Integrity);
        assert_eq!(kind_of_code("42P01"), InboxErrorKind::Schema);
        assert_eq!(kind_of_code("1"), InboxErrorKind::Schema);
        assert_eq!(kind_of_code("5"), InboxErrorKind::Timeout);
    }

    #[test]
    fn the_chain_names_each_cause_once() {
        let error = InboxError::new(InboxErrorKind::Internal, "disk on fire");
        assert_eq!(chain(&error), "the inbox's database failed: disk on fire");
    }
}

//! What differs between the drivers, in one place.

use std::{future::Future, pin::Pin};

use sqlx::{Database, Execute, SqlStr};

use crate::Error;

/// Named, and not `impl Future`: the compiler cannot see that a future which awaits the latter in a
/// generic function is `Send`.
pub(crate) type BoxFuture<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// A driver that this crate knows: `Postgres`, `Sqlite`, or `Any` with one of them behind it.
///
/// Nobody else can implement it.
pub trait Backend: Database + sealed::Sealed {
    #[doc(hidden)]
    fn dialect(connection: &Self::Connection) -> Result<Dialect, Error>;

    /// Runs a statement to its end, so that what fails in a commit of its own is not lost.
    #[doc(hidden)]
    fn rows<'c, 'q: 'c, E>(
        connection: &'c mut Self::Connection,
        query: E,
    ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Row>>>
    where
        E: Execute<'q, Self> + 'q;

    /// Runs a statement that returns at most one number.
    #[doc(hidden)]
    fn number<'c>(
        connection: &'c mut Self::Connection,
        sql: &'static str,
        arguments: &'c [&'c str],
    ) -> BoxFuture<'c, sqlx::Result<Option<i64>>>;

    /// Runs statements without arguments.
    #[doc(hidden)]
    fn script(connection: &mut Self::Connection, sql: SqlStr) -> BoxFuture<'_, sqlx::Result<()>>;
}

#[doc(hidden)]
#[expect(
    clippy::exhaustive_enums,
    reason = "hidden, and matched in this crate alone"
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    /// How a transaction that will write begins.
    ///
    /// In SQLite one that reads first and wants to write then is refused if anybody has written in
    /// between, so the lock is taken at the start.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            Self::Postgres => "BEGIN",
            Self::Sqlite => "BEGIN IMMEDIATE",
        }
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else implements `Backend`")]
    pub trait Sealed {}
}

#[cfg(any(feature = "any", feature = "postgres", feature = "sqlite"))]
macro_rules! backend {
    ($database:ty, $connection:ty, $dialect:expr) => {
        impl sealed::Sealed for $database {}

        impl Backend for $database {
            fn dialect(connection: &$connection) -> Result<Dialect, Error> {
                let dialect: fn(&$connection) -> Result<Dialect, Error> = $dialect;
                dialect(connection)
            }

            fn rows<'c, 'q: 'c, E>(
                connection: &'c mut $connection,
                query: E,
            ) -> BoxFuture<'c, sqlx::Result<Vec<Self::Row>>>
            where
                E: Execute<'q, Self> + 'q,
            {
                sqlx::Executor::fetch_all(connection, query)
            }

            fn number<'c>(
                connection: &'c mut $connection,
                sql: &'static str,
                arguments: &'c [&'c str],
            ) -> BoxFuture<'c, sqlx::Result<Option<i64>>> {
                // A name would be another connection's behind a pooler in transaction mode.
                let mut query = sqlx::query_scalar(sql).persistent(false);
                for argument in arguments {
                    query = query.bind(*argument);
                }
                Box::pin(async {
                    let numbers: Vec<Option<i64>> = query.fetch_all(connection).await?;
                    Ok(numbers.into_iter().next().flatten())
                })
            }

            fn script(
                connection: &mut $connection,
                sql: SqlStr,
            ) -> BoxFuture<'_, sqlx::Result<()>> {
                Box::pin(async {
                    sqlx::raw_sql(sql).execute(connection).await?;
                    Ok(())
                })
            }
        }
    };
}

#[cfg(feature = "postgres")]
backend!(sqlx::Postgres, sqlx::PgConnection, |_| Ok(
    Dialect::Postgres
));

#[cfg(feature = "sqlite")]
backend!(sqlx::Sqlite, sqlx::SqliteConnection, |_| Ok(
    Dialect::Sqlite
));

#[cfg(feature = "any")]
backend!(sqlx::Any, sqlx::AnyConnection, |connection| {
    match connection.backend_name() {
        "PostgreSQL" => Ok(Dialect::Postgres),
        "SQLite" => Ok(Dialect::Sqlite),
        _ => Err(Error::new(crate::ErrorKind::Unsupported)),
    }
});

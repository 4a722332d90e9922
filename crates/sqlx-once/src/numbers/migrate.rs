use sqlx::{Connection, SqlSafeStr};

use crate::{Access, Backend, Error, backend::Dialect};

/// What [`migrate`] runs on Postgres, for a migration tool of your own. It can be run again.
///
/// The numbers with gaps need nothing but the right to make sequences.
pub const POSTGRES_MIGRATION: &str = include_str!("../../migrations/postgres.sql");

/// What [`migrate`] runs on SQLite, for a migration tool of your own. It can be run again.
pub const SQLITE_MIGRATION: &str = include_str!("../../migrations/sqlite.sql");

/// Held while something is made that two could make at a time, until the transaction ends.
pub(super) const LOCK: &str =
    "SELECT CAST(1 AS bigint) FROM pg_advisory_xact_lock(8318837165512384357)";

const IS_MIGRATED: &str =
    "SELECT CAST(1 AS bigint) WHERE to_regclass('sqlx_once_counters') IS NOT NULL";

/// Makes the tables that the numbers of [`Series`](crate::Series) are kept in.
///
/// It can be run again, and by several processes at a time; once the tables are there it needs no
/// rights but to look. They are made in the schema that the connection's `search_path` names first.
/// Run it at start-up, or put the SQL (`POSTGRES_MIGRATION`, `SQLITE_MIGRATION`) into a migration
/// of your own. Only the numbers need it.
///
/// # Errors
///
/// [`ErrorKind::Database`](crate::ErrorKind::Database), for want of rights, say.
///
/// # Cancel safety
///
/// Everything is made, or nothing; run it again.
///
/// # Example
///
/// ```no_run
/// # async fn example() -> Result<(), sqlx_once::Error> {
/// let pool = sqlx::PgPool::connect("postgres://app@localhost/app").await?;
/// sqlx_once::migrate(&pool).await?;
/// # Ok(())
/// # }
/// ```
pub async fn migrate<DB, A>(connection: A) -> Result<(), Error>
where
    DB: Backend,
    A: Access<Database = DB>,
{
    let mut connection = connection.connection().await?;
    let mut transaction = connection.begin().await?;
    match DB::dialect(&transaction)? {
        Dialect::Sqlite => {
            DB::script(&mut transaction, SQLITE_MIGRATION.into_sql_str()).await?;
        }
        Dialect::Postgres => {
            let is_migrated = DB::number(&mut transaction, IS_MIGRATED, &[]).await?;
            if is_migrated.is_none() {
                // Two that make the same table at a time can fail in spite of IF NOT EXISTS.
                DB::number(&mut transaction, LOCK, &[]).await?;
                DB::script(&mut transaction, POSTGRES_MIGRATION.into_sql_str()).await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}

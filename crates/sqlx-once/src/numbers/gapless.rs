use sqlx::Connection;

use crate::{Backend, Error, ErrorKind, Series};

/// The same on both databases.
const NEXT: &str = "INSERT INTO sqlx_once_counters AS counter (series, period, last)
    VALUES ($1, $2, 1)
    ON CONFLICT (series, period) DO UPDATE SET last = counter.last + 1
    RETURNING last";

impl Series {
    /// Takes the next number, without gaps, in the transaction that uses it. The first one is 1.
    ///
    /// The counter's row stays locked until the transaction ends, so that a number which is rolled
    /// back (a savepoint suffices) is the next one's. Whoever takes a number of the same series and
    /// period meanwhile waits: take it late, and commit soon. A transaction that takes numbers of
    /// several series takes them in one order everywhere, or two of them can deadlock.
    ///
    /// # When not to use it
    ///
    /// Where gaps do not matter, or transactions are long: use
    /// [`next_with_gaps`](Self::next_with_gaps).
    ///
    /// # Errors
    ///
    /// - [`NoTransaction`](ErrorKind::NoTransaction) if the connection is in no transaction that
    ///   sqlx knows of (begin with sqlx, not with a `BEGIN` of your own).
    /// - [`Serialization`](ErrorKind::Serialization): above READ COMMITTED, if somebody else has
    ///   taken a number since this transaction's snapshot; deadlocks; in SQLite, if the write lock
    ///   could not be had, or this transaction has read before and others have written since (begin
    ///   with `BEGIN IMMEDIATE`).
    /// - [`Database`](ErrorKind::Database), also if [`migrate`](crate::migrate) was not run.
    ///
    /// # Cancel safety
    ///
    /// The number may have been taken: roll back the transaction, or the savepoint, and it is free.
    ///
    /// # Example
    ///
    /// See [`Series`].
    pub async fn next_gapless<C>(&self, connection: &mut C) -> Result<i64, Error>
    where
        C: Connection<Database: Backend<Connection = C>>,
    {
        if !connection.is_in_transaction() {
            return Err(Error::new(ErrorKind::NoTransaction));
        }
        let number = C::Database::number(connection, NEXT, &self.key()).await?;
        number.ok_or(Error::from(sqlx::Error::RowNotFound))
    }
}

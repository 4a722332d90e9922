use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};

use super::migrate::LOCK;
use crate::{Access, Backend, Error, Series, backend::Dialect};

/// Returns nothing if there is no such sequence: an error would spoil the transaction.
const NEXT_IN_POSTGRES: &str = "SELECT nextval(to_regclass($1))";

const NEXT_IN_SQLITE: &str = "INSERT INTO sqlx_once_sequences AS sequence (series, period, last)
    VALUES ($1, $2, 1)
    ON CONFLICT (series, period) DO UPDATE SET last = sequence.last + 1
    RETURNING last";

impl Series {
    /// Takes the next number, and leaves a gap if it is not used. The first one is 1.
    ///
    /// In Postgres there is a sequence for each series and period, named `sqlx_once/ASM/2025`: nobody
    /// waits for anybody, and a number that was taken is never handed out again, whatever becomes of
    /// the transaction. The first call makes the sequence, for which the user needs `CREATE` on the
    /// schema; if it does so in a transaction, others who need the same new sequence wait until that
    /// ends, and its rollback takes the sequence back, with the numbers it gave to this transaction.
    /// To avoid both, take (and drop) one number ahead, on a pool.
    ///
    /// SQLite has no sequences and one writer: there it is a row. On a pool the number is used up at
    /// once; in a transaction it is rolled back with it.
    ///
    /// The numbers are not those of [`next_gapless`](Self::next_gapless): do not mix the two.
    ///
    /// # When not to use it
    ///
    /// Where somebody asks what became of number 7.
    ///
    /// # Errors
    ///
    /// - [`Serialization`](crate::ErrorKind::Serialization), in SQLite, if the write lock could not
    ///   be had.
    /// - [`Database`](crate::ErrorKind::Database) for everything else, also for the lack of rights
    ///   to make the sequence or, in SQLite, if [`migrate`](crate::migrate) was not run.
    ///
    /// # Cancel safety
    ///
    /// The number may have been taken, which leaves a gap.
    ///
    /// # Example
    ///
    /// ```
    /// # async fn example(pool: &sqlx::PgPool) -> Result<(), sqlx_once::Error> {
    /// use sqlx_once::Series;
    ///
    /// let requests = Series::new("REQ", "2025")?;
    /// let number = requests.next_with_gaps(pool).await?;
    /// println!("{}", requests.label(number, 3));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_with_gaps<DB, A>(&self, connection: A) -> Result<i64, Error>
    where
        DB: Backend,
        A: Access<Database = DB>,
    {
        let mut connection = connection.connection().await?;
        let number = match DB::dialect(&connection)? {
            Dialect::Sqlite => DB::number(&mut connection, NEXT_IN_SQLITE, &self.key()).await?,
            Dialect::Postgres => self.next_of_sequence::<DB>(&mut connection).await?,
        };
        number.ok_or(Error::from(sqlx::Error::RowNotFound))
    }

    async fn next_of_sequence<DB: Backend>(
        &self,
        connection: &mut DB::Connection,
    ) -> Result<Option<i64>, Error> {
        let [name, period] = self.key();
        let sequence = format!("\"sqlx_once/{name}/{period}\"");
        let number = DB::number(connection, NEXT_IN_POSTGRES, &[&sequence]).await?;
        if number.is_some() {
            return Ok(number);
        }
        let mut transaction = connection.begin().await?;
        // Two that make the same sequence at a time can fail in spite of IF NOT EXISTS.
        DB::number(&mut transaction, LOCK, &[]).await?;
        let create = format!("CREATE SEQUENCE IF NOT EXISTS {sequence}");
        DB::script(&mut transaction, AssertSqlSafe(create).into_sql_str()).await?;
        transaction.commit().await?;
        Ok(DB::number(connection, NEXT_IN_POSTGRES, &[&sequence]).await?)
    }
}

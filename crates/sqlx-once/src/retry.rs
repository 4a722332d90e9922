use std::{collections::BTreeSet, time::Duration};

use sqlx::{Connection, Pool, SqlSafeStr, Transaction};

use crate::{
    AsSqlxError, Backend, Error,
    backend::Dialect,
    violation::{is_serialization_failure, is_violation_of},
};

/// Tries again when a named constraint was violated, with pauses in between.
///
/// For what is computed from what is there and may collide with what somebody else computes: a
/// random code, a slug, a position. Each try must compute it anew.
///
/// By default there are 3 retries (so 4 tries) after 100, 200 and 400 ms, each pause
/// lengthened by up to a half at random, so that those who met do not meet again. Any error but the
/// named conflicts is returned at once; so is the last conflict when the tries are used up.
///
/// # Transactions
///
/// Each try is a transaction of its own, committed if it ends in `Ok` and rolled back otherwise.
///
/// If the connection is in a transaction already, each try is a savepoint in it: a conflict does not
/// spoil the transaction, and what was done before is kept. There, all locks stay held in the pauses, and serialization failures are returned at once. Above
/// READ COMMITTED, and in SQLite, each try reads what the first one has read: there only what is
/// chosen at random can get through.
///
/// A try must not do anything that a rollback does not undo: no e-mail, no request.
///
/// # When not to use it
///
/// - For consecutive numbers: [`Series`](crate::Series) hands them out without a conflict. Of many
///   callers that compute `max + 1`, one gets through each time, and the last ones run out of tries.
/// - To find out that a request is a duplicate: [`insert_or_fetch`](crate::insert_or_fetch).
///
/// # Example
///
/// ```
/// use sqlx::PgPool;
/// use sqlx_once::Retry;
///
/// async fn invite(pool: &PgPool, email: &str) -> Result<String, sqlx::Error> {
///     let mut tries = Retry::on("invites_code_key").tries();
///     loop {
///         let mut attempt = tries.begin_on(pool).await?;
///         let code = format!("{:06}", fastrand::u32(..1_000_000));
///         let insert = sqlx::query("INSERT INTO invites (code, email) VALUES ($1, $2)")
///             .bind(&code)
///             .bind(email);
///         let outcome = insert.execute(&mut *attempt).await;
///         if tries.end(attempt, outcome).await?.is_some() {
///             return Ok(code);
///         }
///     }
/// }
/// # let _ = invite;
/// ```
#[must_use = "call `tries`"]
#[derive(Clone, Debug)]
pub struct Retry {
    constraints: BTreeSet<String>,
    serialization_failures: bool,
    retries: u32,
    first_pause: Duration,
    longest_pause: Duration,
}

impl Retry {
    /// Tries again on violations of this unique constraint, named as for
    /// [`is_violation_of`].
    pub fn on(constraint: impl Into<String>) -> Self {
        Self {
            constraints: BTreeSet::from([constraint.into()]),
            serialization_failures: false,
            retries: 3,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        }
    }

    /// Tries again on violations of this constraint, too.
    pub fn or_on(mut self, constraint: impl Into<String>) -> Self {
        self.constraints.insert(constraint.into());
        self
    }

    /// Tries again on serialization failures and deadlocks (SQLite: on locks that could not be had),
    /// too. Default: no.
    ///
    /// Set it where the connections run above READ COMMITTED. It has no effect in an open
    /// transaction, which must be run again as a whole.
    pub const fn or_on_serialization_failures(mut self) -> Self {
        self.serialization_failures = true;
        self
    }

    /// Sets how often at most it is tried again. Default: 3. With 0 it is tried once.
    ///
    /// More than a few help only if tries collide by chance.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the pause before the first retry. Default: 100 ms.
    ///
    /// Each further one is twice as long. Choose about as long as a try takes; too short, and those
    /// who met meet again.
    pub const fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// Sets how long a pause gets at most, before it is lengthened at random. Default: 10 s.
    pub const fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Starts to try.
    pub fn tries(self) -> Tries {
        Tries {
            retry: self,
            made: 0,
            is_nested: false,
        }
    }

    /// Returns the pause before this retry, counted from 0; `None` if there is none.
    fn pause(&self, retry: u32) -> Option<Duration> {
        if retry >= self.retries {
            return None;
        }
        let times = 2_u32.saturating_pow(retry);
        let pause = self
            .first_pause
            .saturating_mul(times)
            .min(self.longest_pause);
        Some(pause.saturating_add(pause / 1_000 * fastrand::u32(..=500)))
    }
}

/// Tries under way: [`begin`](Self::begin) one, do its work, [`end`](Self::end) it; see [`Retry`].
///
/// A try that is dropped instead is rolled back, and may be begun again without a pause.
#[must_use = "begin a try"]
#[derive(Clone, Debug)]
pub struct Tries {
    retry: Retry,
    /// How many tries have ended in a conflict.
    made: u32,
    /// Whether the try that runs is a savepoint.
    is_nested: bool,
}

impl Tries {
    /// Begins a try: a transaction, or a savepoint if `connection` is in a transaction.
    ///
    /// In SQLite the transaction begins with `BEGIN IMMEDIATE`, since it will write.
    ///
    /// # Errors
    ///
    /// The database's, if it cannot be begun.
    ///
    /// # Cancel safety
    ///
    /// What was begun is rolled back.
    pub async fn begin<'c, C>(
        &mut self,
        connection: &'c mut C,
    ) -> sqlx::Result<Transaction<'c, C::Database>>
    where
        C: Connection<Database: Backend<Connection = C>>,
    {
        self.is_nested = connection.is_in_transaction();
        if self.is_nested {
            return connection.begin().await;
        }
        let begin = dialect::<C::Database>(connection)?.begin();
        connection.begin_with(begin.into_sql_str()).await
    }

    /// Begins a try in a transaction of a pool. No connection is held in the pauses.
    ///
    /// # Errors
    ///
    /// The database's, if it cannot be begun; the pool's, if it has no connection to give.
    ///
    /// # Cancel safety
    ///
    /// What was begun is rolled back.
    pub async fn begin_on<DB: Backend>(
        &mut self,
        pool: &Pool<DB>,
    ) -> sqlx::Result<Transaction<'static, DB>> {
        self.is_nested = false;
        let connection = pool.acquire().await?;
        let begin = dialect::<DB>(&connection)?.begin();
        Transaction::begin(connection, Some(begin.into_sql_str())).await
    }

    /// Ends a try: commits it, or rolls it back and pauses before the next one.
    ///
    /// Returns the value once it is committed (or, in a savepoint, released), and `None` if the next
    /// try is to be begun.
    ///
    /// # Errors
    ///
    /// - What the try ended in, if that is no named conflict, or no tries are left.
    /// - The database's error in committing. If the connection breaks in a commit, the try may have
    ///   been committed.
    /// - The database's error if the try hides one: after a statement that failed, Postgres would
    ///   roll back in place of a commit.
    ///
    /// # Cancel safety
    ///
    /// The try is rolled back, unless it is being committed.
    pub async fn end<DB, T, E>(
        &mut self,
        attempt: Transaction<'_, DB>,
        outcome: Result<T, E>,
    ) -> Result<Option<T>, E>
    where
        DB: Backend,
        E: AsSqlxError + From<sqlx::Error>,
    {
        let failed = match outcome {
            Ok(value) => match self.commit(attempt).await {
                Ok(()) => return Ok(Some(value)),
                Err(error) => E::from(error),
            },
            Err(error) => match attempt.rollback().await {
                Ok(()) => error,
                // The connection is lost, or SQLite has undone the whole transaction.
                Err(_) => return Err(error),
            },
        };
        if !self.can_help(&failed) {
            return Err(failed);
        }
        let Some(pause) = self.retry.pause(self.made) else {
            return Err(failed);
        };
        drop(failed);
        self.made += 1;
        tokio::time::sleep(pause).await;
        Ok(None)
    }

    async fn commit<DB: Backend>(&self, mut attempt: Transaction<'_, DB>) -> sqlx::Result<()> {
        if !self.is_nested && dialect::<DB>(&attempt)? == Dialect::Postgres {
            // The driver does not notice when COMMIT is answered by a rollback.
            DB::number(&mut attempt, "SELECT CAST(1 AS bigint)", &[]).await?;
        }
        attempt.commit().await
    }

    fn can_help(&self, failed: &impl AsSqlxError) -> bool {
        let Some(error) = failed.as_sqlx_error() else {
            return false;
        };
        if is_serialization_failure(error) {
            // What is still open has met the other transaction, too.
            return self.retry.serialization_failures && !self.is_nested;
        }
        let mut named = self.retry.constraints.iter();
        named.any(|constraint| is_violation_of(error, constraint))
    }
}

fn dialect<DB: Backend>(connection: &DB::Connection) -> sqlx::Result<Dialect> {
    DB::dialect(connection).map_err(Error::into_sqlx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_lengthened_by_up_to_a_half() {
        for _ in 0..100 {
            let retry = Retry::on("a");
            for (number, least) in (0..).zip([100, 200, 400].map(Duration::from_millis)) {
                let pause = retry.pause(number).unwrap();
                assert!(pause >= least && pause <= least.mul_f64(1.5), "{pause:?}");
            }
            assert_eq!(retry.pause(3), None);
        }
    }

    #[test]
    fn pauses_stop_growing_and_none_overflows() {
        let retry = Retry::on("a")
            .retries(u32::MAX)
            .longest_pause(Duration::MAX);
        assert!(retry.pause(500).unwrap() > Duration::from_secs(1 << 24));
        let endless = retry.clone().first_pause(Duration::MAX);
        assert_eq!(endless.pause(500), Some(Duration::MAX));
        let capped = retry.longest_pause(Duration::from_secs(1));
        assert!(capped.pause(500).unwrap() <= Duration::from_millis(1_500));
    }
}

use sqlx::{FromRow, IntoArguments, query::QueryAs};

use crate::{Access, Backend, Error, ErrorKind, checked::Checked};

/// A row, and whether this call has made it.
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller has to deal with both, and there is no third"
)]
#[must_use = "a row that was there before must not have its effects again"]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Once<T> {
    /// This call has inserted it: its effects (notices, e-mails) are due now.
    Inserted(T),
    /// It was there: answer with it, clean up what was wasted, and do nothing a second time.
    Existing(T),
}

impl<T> Once<T> {
    /// Returns the row.
    #[must_use]
    pub fn into_row(self) -> T {
        match self {
            Self::Inserted(row) | Self::Existing(row) => row,
        }
    }

    /// Tells whether this call has made the row.
    #[must_use]
    pub const fn is_inserted(&self) -> bool {
        matches!(self, Self::Inserted(_))
    }
}

/// Inserts a row unless its token has been used, and else fetches the one that has it.
///
/// `insert` ends in `ON CONFLICT (<token>) DO NOTHING RETURNING ..`; with a partial unique index,
/// `ON CONFLICT (<token>) WHERE <token> IS NOT NULL`. `fetch` selects the same columns by the
/// token. It is run only if nothing was inserted, as a statement of its own: so it sees a row that
/// another transaction has committed while the insert waited for it.
///
/// Only the named conflict is passed over. A violation of any other constraint stays the error that
/// it is. A row that conflicts by its token *and* otherwise exists, as a form that is sent again does;
/// only if the two are inserted at the very same time can Postgres meet the other conflict first.
/// Where there is such a constraint, take a lock before (an advisory one), or answer that error by
/// asking to send again.
///
/// `connection` is a pool, a connection or a transaction. In a transaction the row is there once
/// that commits; nothing here fails if the token was used, so it stays usable. On a pool, the row is
/// there at once. A row without a token (`NULL`) is always inserted.
///
/// An insert whose token is being inserted by an open transaction waits for that one to end, and no
/// longer; bound it by `lock_timeout` (Postgres) or `busy_timeout` (SQLite).
///
/// # When not to use it
///
/// - To keep the *response* of a request: that is the work of an idempotency layer. This is the
///   structural backstop below it, which holds for as long as the row is there.
/// - Where the existing row is to be changed: `ON CONFLICT .. DO UPDATE` does it at once.
/// - Where almost every call finds the row: look first. In Postgres, each insert that conflicts
///   uses up a value of the table's sequences, and writes a dead row if it raced.
///
/// # Errors
///
/// - [`Serialization`](ErrorKind::Serialization): above READ COMMITTED, if the token was inserted
///   by somebody else after this transaction's snapshot was taken; deadlocks; in SQLite a lock that
///   could not be had, or was taken by others since this transaction first read (begin with
///   `BEGIN IMMEDIATE`).
/// - [`NothingThere`](ErrorKind::NothingThere) if no row has the token after all.
/// - [`Statement`](ErrorKind::Statement) if the insert does not name its conflict.
/// - [`Database`](ErrorKind::Database) for everything else, other unique violations included.
///
/// # Cancel safety
///
/// Outside of a transaction the row may have been inserted all the same: call it again.
/// In a transaction, roll back.
///
/// # Example
///
/// ```
/// use sqlx::PgConnection;
/// use sqlx_once::{Once, insert_or_fetch};
///
/// /// Returns the entry's id, and notifies of it once.
/// async fn save(
///     transaction: &mut PgConnection,
///     token: &str,
///     note: &str,
/// ) -> Result<i64, sqlx_once::Error> {
///     let insert = "INSERT INTO entries (token, note) VALUES ($1, $2)
///         ON CONFLICT (token) WHERE token IS NOT NULL DO NOTHING RETURNING id";
///     let fetch = "SELECT id FROM entries WHERE token = $1";
///     let entry = insert_or_fetch(
///         &mut *transaction,
///         sqlx::query_as::<_, (i64,)>(insert).bind(token).bind(note),
///         sqlx::query_as(fetch).bind(token),
///     )
///     .await?;
///     if let Once::Inserted((id,)) = entry {
///         let notify = sqlx::query("INSERT INTO notices (entry) VALUES ($1)").bind(id);
///         notify.execute(transaction).await?;
///     }
///     Ok(entry.into_row().0)
/// }
/// # let _ = save;
/// ```
#[expect(
    clippy::manual_async_fn,
    reason = "the compiler sees that the future is `Send` where this is said here"
)]
pub fn insert_or_fetch<'q, DB, A, T, I, F>(
    connection: A,
    insert: QueryAs<'q, DB, T, I>,
    fetch: QueryAs<'q, DB, T, F>,
) -> impl Future<Output = Result<Once<T>, Error>> + Send
where
    DB: Backend,
    A: Access<Database = DB>,
    T: for<'r> FromRow<'r, DB::Row> + Send + 'q,
    I: IntoArguments<DB> + Send + 'q,
    F: IntoArguments<DB> + Send + 'q,
{
    async move {
        let insert = Checked::new(insert)?;
        let mut connection = connection.connection().await?;
        if let Some(row) = DB::rows(&mut connection, insert).await?.first() {
            return Ok(Once::Inserted(T::from_row(row)?));
        }
        match DB::rows(&mut connection, fetch).await?.first() {
            Some(row) => Ok(Once::Existing(T::from_row(row)?)),
            None => Err(Error::new(ErrorKind::NothingThere)),
        }
    }
}

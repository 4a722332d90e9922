use sqlx::{FromRow, IntoArguments, query::QueryAs};

use crate::{Access, Backend, Error, ErrorKind};

/// What became of an attempt to claim a row.
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller has to deal with both, and there is no third"
)]
#[must_use = "whoever has lost must not go on"]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RowClaim<T, W> {
    /// The row let this caller through the guard, and nobody else.
    Won(T),
    /// The guard let nobody through: the row as it is now, or `None` if there is none.
    Lost(Option<W>),
}

/// Claims a row by one guarded update: of all callers, exactly one wins.
///
/// `update` is one `UPDATE .. WHERE <the whole guard> RETURNING ..` whose guard can be true for one
/// row at most, and is no longer true once it has been applied. To read the guard first and to write
/// then lets two callers through. `why` selects what a loser wants to know of the row; it is run
/// only if nobody was let through, and sees what the winner has committed.
///
/// `connection` is a pool, a connection or a transaction. In a transaction, the row is claimed if
/// that commits: other claimants wait for its end, and one of them wins if it is rolled back.
///
/// # When not to use it
///
/// - To take *any* free row of many (a queue): `FOR UPDATE SKIP LOCKED` does not wait.
/// - For a claim that should end by itself if its owner dies: this one has no lease.
///
/// # Errors
///
/// - [`SeveralRows`](ErrorKind::SeveralRows) if the guard let several rows through. They are
///   changed: roll back.
/// - [`Serialization`](ErrorKind::Serialization): above READ COMMITTED, if somebody else has changed
///   the row since this transaction's snapshot; deadlocks; SQLite's locks.
/// - [`Database`](ErrorKind::Database) for everything else.
///
/// # Cancel safety
///
/// Outside of a transaction the row may have been claimed all the same, for nobody: claim it in the
/// transaction that does what the claim is for.
///
/// # Example
///
/// An invite that can be used once.
///
/// ```
/// use sqlx::PgConnection;
/// use sqlx_once::{RowClaim, claim_row};
///
/// /// The status to answer with.
/// async fn redeem(transaction: &mut PgConnection, token: &str) -> Result<u16, sqlx_once::Error> {
///     let update = "UPDATE invites SET used_at = now()
///         WHERE token = $1 AND used_at IS NULL AND expires_at > now() RETURNING id";
///     let why = "SELECT used_at IS NOT NULL AS is_used, submission FROM invites WHERE token = $1";
///     let claim = claim_row(
///         transaction,
///         sqlx::query_as::<_, (i64,)>(update).bind(token),
///         sqlx::query_as::<_, (bool, Option<i64>)>(why).bind(token),
///     )
///     .await?;
///     Ok(match claim {
///         RowClaim::Won((_id,)) => 201, // Insert the submission, and note it in the invite.
///         RowClaim::Lost(None) => 400,
///         RowClaim::Lost(Some((false, _))) => 410, // It has expired.
///         RowClaim::Lost(Some((true, Some(_submission)))) => 200,
///         RowClaim::Lost(Some((true, None))) => 409,
///     })
/// }
/// # let _ = redeem;
/// ```
#[expect(
    clippy::manual_async_fn,
    reason = "the compiler sees that the future is `Send` where this is said here"
)]
pub fn claim_row<'q, DB, A, T, W, U, Y>(
    connection: A,
    update: QueryAs<'q, DB, T, U>,
    why: QueryAs<'q, DB, W, Y>,
) -> impl Future<Output = Result<RowClaim<T, W>, Error>> + Send
where
    DB: Backend,
    A: Access<Database = DB>,
    T: for<'r> FromRow<'r, DB::Row> + Send + 'q,
    W: for<'r> FromRow<'r, DB::Row> + Send + 'q,
    U: IntoArguments<DB> + Send + 'q,
    Y: IntoArguments<DB> + Send + 'q,
{
    async move {
        let mut connection = connection.connection().await?;
        let claimed = DB::rows(&mut connection, update).await?;
        match claimed.as_slice() {
            [] => {}
            [row] => return Ok(RowClaim::Won(T::from_row(row)?)),
            _ => return Err(Error::new(ErrorKind::SeveralRows)),
        }
        let rows = DB::rows(&mut connection, why).await?;
        let row = rows.first().map(W::from_row).transpose()?;
        Ok(RowClaim::Lost(row))
    }
}

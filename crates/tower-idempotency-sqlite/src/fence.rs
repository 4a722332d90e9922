//! Completing a record inside the handler's transaction.

use std::fmt;

use sqlx::{AssertSqlSafe, Database, Executor, Sqlite, SqliteConnection, Transaction};
use sqlx_core::transaction::{TransactionManager, begin_ansi_transaction_sql};
use tower_idempotency_core::{
    Completed, FencedCommit, FencedTransaction, Settled, StoreError, StoreErrorKind,
};

use crate::{error, execution::Owner, operation::complete};

/// The fence of one execution: what a transaction on the store's file is completed with.
///
/// It is in the extensions of every request that was claimed in a
/// [`SqliteStore`](crate::SqliteStore); `Idempotency::complete_in` and `complete_and_commit` take it from there.
///
/// SQLite has one writer: from its first write to its commit, the handler's transaction keeps
/// every other write on the file waiting, claims of other keys included. Duplicates are answered
/// meanwhile, since they only read. Begin the transaction with `BEGIN IMMEDIATE`, late, and keep
/// it short.
#[derive(Clone)]
pub struct SqliteFence(pub(crate) Owner);

impl fmt::Debug for SqliteFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteFence")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

impl FencedTransaction<SqliteFence> for Transaction<'_, Sqlite> {
    async fn complete(
        &mut self,
        fence: &SqliteFence,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        require_foreign_keys(self).await?;
        if has_ended(self).await.map_err(error::store_error)? {
            spoil(self).await?;
            let why = "the handler's transaction had ended before the response was kept in it: \
                       SQLite has rolled it back after an error, or the handler has ended it";
            return Err(StoreError::new(StoreErrorKind::Internal, why));
        }
        let complete = complete(&fence.0.id, &fence.0.token, completed);
        match complete.execute(&mut **self).await {
            Ok(done) if done.rows_affected() == 1 => Ok(Settled::Applied),
            Ok(_) => {
                spoil(self).await?;
                Ok(Settled::Stale)
            }
            Err(error) => {
                spoil(self).await?;
                Err(error::store_error(error))
            }
        }
    }
}

impl FencedCommit<SqliteFence> for Transaction<'_, Sqlite> {
    async fn complete_and_commit(
        mut self,
        fence: &SqliteFence,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        type Manager = <Sqlite as Database>::TransactionManager;
        if Manager::get_transaction_depth(&self) != 1 {
            spoil(&mut self).await?;
            let why = "only the outermost transaction can be committed, not a savepoint";
            return Err(StoreError::new(StoreErrorKind::Internal, why));
        }
        match self.complete(fence, completed).await? {
            Settled::Applied => self.commit().await.map_err(commit_error)?,
            Settled::Stale => return Ok(Settled::Stale),
        }
        Ok(Settled::Applied)
    }
}

/// SQLite says why it has not committed, except where the disk failed.
fn commit_error(error: sqlx::Error) -> StoreError {
    StoreError::new(StoreErrorKind::CommitUnknown, error)
}

/// Tells whether the transaction has ended without the driver's knowledge. If so, another one is
/// begun in its place, since the driver goes on counting one.
///
/// SQLite rolls a transaction back by itself when the disk is full, say, and whoever has the
/// connection can end it in SQL. Every statement is committed at once from then on.
pub(crate) async fn has_ended(transaction: &mut SqliteConnection) -> sqlx::Result<bool> {
    // SQLITE_ERROR: there is no transaction within a transaction.
    const WITHIN_ANOTHER: &str = "1";
    match transaction.execute(sqlx::raw_sql("BEGIN")).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(WITHIN_ANOTHER) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Refuses a connection on which [`spoil`] would do nothing.
async fn require_foreign_keys(transaction: &mut SqliteConnection) -> Result<(), StoreError> {
    let on: bool = sqlx::query_scalar("PRAGMA foreign_keys")
        .fetch_one(&mut *transaction)
        .await
        .map_err(error::store_error)?;
    if on {
        return Ok(());
    }
    begin_anew(transaction, "").await?;
    let why = "the handler's connection has `foreign_keys` off, without which a transaction that \
               lost its lease could be committed: leave it on, as the driver does by default";
    Err(StoreError::new(StoreErrorKind::Internal, why))
}

/// Makes the transaction impossible to commit.
///
/// SQLite knows no aborted transactions. A foreign key that is checked at the commit, and that
/// nothing satisfies, has the same end; the table goes with the rollback.
async fn spoil(transaction: &mut SqliteConnection) -> Result<(), StoreError> {
    const SPOIL: &str = "
        CREATE TEMP TABLE IF NOT EXISTS idempotency_lease_was_lost (
            id INTEGER PRIMARY KEY,
            never INTEGER NOT NULL
                REFERENCES idempotency_lease_was_lost (id) DEFERRABLE INITIALLY DEFERRED
        );
        INSERT INTO idempotency_lease_was_lost (never) VALUES (-1);";
    begin_anew(transaction, SPOIL).await
}

/// Rolls everything back, so that no savepoint can bring it back, and puts another transaction in
/// its place, with `first` in it and as many savepoints as the driver counts on the connection.
async fn begin_anew(transaction: &mut SqliteConnection, first: &str) -> Result<(), StoreError> {
    type Manager = <Sqlite as Database>::TransactionManager;
    let mut sql = format!("ROLLBACK; BEGIN; {first}");
    for depth in 1..Manager::get_transaction_depth(transaction) {
        sql.push_str(begin_ansi_transaction_sql(depth).as_str());
        sql.push(';');
    }
    transaction
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .map_err(error::store_error)?;
    Ok(())
}

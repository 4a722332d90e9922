//! Completing a record inside the handler's transaction.

use std::{fmt, sync::Arc};

use sqlx::{Database, Executor, PgConnection, Postgres, Transaction};
use sqlx_core::transaction::TransactionManager;
use tower_idempotency_core::{
    Completed, FencedCommit, FencedTransaction, Settled, StoreError, StoreErrorKind,
};

use crate::{
    error,
    execution::{Owner, bind_response},
};

/// The fence of one execution: what a transaction of the handler's is completed with.
///
/// It is in the extensions of every request that was claimed in a
/// [`PostgresStore`](crate::PostgresStore); `Idempotency::complete_in` and `complete_and_commit` take it from
/// there.
/// The transaction must be on the database that holds the records. Above `READ COMMITTED` it fails
/// if the lease was renewed since its first statement: begin it late.
#[derive(Clone)]
pub struct PostgresFence(pub(crate) Arc<Owner>);

impl fmt::Debug for PostgresFence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresFence")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

impl FencedTransaction<PostgresFence> for Transaction<'_, Postgres> {
    async fn complete(
        &mut self,
        fence: &PostgresFence,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        let Owner { shared, .. } = &*fence.0;
        let query = fence.0.query(&shared.sql.complete_in);
        let query = bind_response(query, completed);
        match query.execute(&mut **self).await {
            Ok(done) if done.rows_affected() == 1 => Ok(Settled::Applied),
            Ok(_) => {
                cut(self).await;
                Ok(Settled::Stale)
            }
            Err(error) => {
                cut(self).await;
                Err(error::store_error(error))
            }
        }
    }
}

impl FencedCommit<PostgresFence> for Transaction<'_, Postgres> {
    async fn complete_and_commit(
        mut self,
        fence: &PostgresFence,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        type Manager = <Postgres as Database>::TransactionManager;
        if Manager::get_transaction_depth(&self) != 1 {
            cut(&mut self).await;
            let why = "only the outermost transaction can be committed, not a savepoint";
            return Err(StoreError::new(StoreErrorKind::Internal, why));
        }
        match self.complete(fence, completed).await? {
            // The statement was just carried out, so the server cannot take the COMMIT for a
            // rollback, as it does after an error.
            Settled::Applied => self.commit().await.map_err(commit_error)?,
            Settled::Stale => return Ok(Settled::Stale),
        }
        Ok(Settled::Applied)
    }
}

/// Says what an error of a commit means: what the server has refused is undone.
pub(crate) fn commit_error(error: sqlx::Error) -> StoreError {
    let kind = if error::is_conflict(&error) {
        StoreErrorKind::Conflict
    } else if error::is_refusal(&error) {
        StoreErrorKind::RolledBack
    } else {
        StoreErrorKind::CommitUnknown
    };
    StoreError::new(kind, error)
}

/// Ends the connection that the transaction is on, so that nothing of it can be committed.
///
/// An error would not do: the server rolls back then, but says so only in a way that the driver
/// takes for a successful commit; and a savepoint would make the error undone.
///
/// The rollback comes first: a transaction that an error has aborted runs nothing else, and with
/// another role the session might not be allowed to end itself.
async fn cut(transaction: &mut PgConnection) {
    const CUT: &str = "ROLLBACK; SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE; \
                       SELECT pg_terminate_backend(pg_backend_pid())";
    // It always ends with an error, that of the connection.
    drop(transaction.execute(sqlx::raw_sql(CUT)).await);
}

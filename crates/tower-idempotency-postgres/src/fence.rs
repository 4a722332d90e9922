//! Completing a record inside the handler's transaction.

use std::fmt;

use sqlx::{Executor, PgConnection, Postgres, Transaction};
use tower_idempotency_core::{Completed, FencedTransaction, Settled, StoreError};

use crate::{
    error,
    execution::{Owner, bind_response},
};

/// The fence of one execution: what a transaction of the handler's is completed with.
///
/// It is in the extensions of every request that was claimed in a
/// [`PostgresStore`](crate::PostgresStore); `Idempotency::complete_in` takes it from there.
/// The transaction must be on the database that holds the records. Above `READ COMMITTED` it fails
/// if the lease was renewed since its first statement: begin it late.
#[derive(Clone)]
pub struct PostgresFence(pub(crate) Owner);

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
        let Owner { shared, .. } = &fence.0;
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

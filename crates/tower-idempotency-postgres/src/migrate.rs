//! Creating the tables.

use sqlx::{AssertSqlSafe, Connection as _, Executor};
use tower_idempotency_core::StoreError;

use crate::{connection::Connection, error, shared::Shared};

/// Holds back other processes that migrate at the same time.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7310868735111111)";

/// "Already exists, skipping" is no news at every start; it ends with the transaction.
const QUIET: &str = "SET LOCAL client_min_messages = warning";

/// Runs all migrations in one transaction.
///
/// There is no bound of the store's own here: on a large table a migration may take its time.
/// The server's `lock_timeout` and `statement_timeout` hold.
pub(crate) async fn migrate(shared: &Shared, migrations: &str) -> Result<(), StoreError> {
    let run = async {
        let mut connection = Connection::acquire(&shared.connections).await?;
        let done = async {
            let mut transaction = connection.begin().await?;
            transaction.execute(LOCK).await?;
            transaction.execute(QUIET).await?;
            sqlx::raw_sql(AssertSqlSafe(migrations))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        }
        .await;
        connection.finish(done).await
    };
    run.await.map_err(error::store_error)
}

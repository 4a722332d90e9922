//! Opening the file.

use std::time::Duration;

use sqlx::{
    Connection, Executor, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tower_idempotency_core::StoreError;

use crate::{SqliteStore, SqliteStoreBuilder, batch::Batches, shared::Shared, sql};

/// Opens both pools and creates the table, within the store's bound.
pub(crate) async fn open(builder: SqliteStoreBuilder) -> Result<SqliteStore, StoreError> {
    let bound = builder.operation_timeout;
    let options = options(&builder);
    let writer = pool(options.clone(), 1, bound);
    let batches = || Batches::new(writer.clone(), bound, builder.max_queued_claims);
    let shared = Shared {
        batches: builder.batching.then(batches),
        writer,
        readers: pool(options.pragma("query_only", "ON"), builder.readers, bound),
        operation_timeout: bound,
    };
    // The first connection switches the file to WAL, for which SQLite does not wait;
    // `bounded` does.
    shared.bounded(|| migrate(&shared.writer)).await?;
    Ok(SqliteStore::with(shared))
}

fn options(builder: &SqliteStoreBuilder) -> SqliteConnectOptions {
    let synchronous = if builder.flushes {
        SqliteSynchronous::Full
    } else {
        SqliteSynchronous::Normal
    };
    SqliteConnectOptions::new()
        .filename(&builder.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(builder.operation_timeout)
}

/// Connects when it is first used, so that an error comes with its cause.
fn pool(options: SqliteConnectOptions, size: u32, bound: Duration) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(size)
        .acquire_timeout(bound)
        // A file does not go away, and a connection is a thread: keep what is there.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_usable(connection)))
        .connect_lazy_with(options)
}

/// Tells whether the driver counts no transaction on a connection.
///
/// One that has ended without the driver's knowledge is counted for ever, and no other can be begun
/// on that connection.
async fn is_usable(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    if connection.is_in_transaction() {
        // A rollback may be on its way, and is done before the ping.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

async fn migrate(writer: &SqlitePool) -> sqlx::Result<()> {
    let objects: i64 = sqlx::query_scalar(sql::MIGRATED).fetch_one(writer).await?;
    if objects == 2 {
        return Ok(());
    }
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    transaction.execute(sqlx::raw_sql(sql::MIGRATIONS)).await?;
    transaction.commit().await
}

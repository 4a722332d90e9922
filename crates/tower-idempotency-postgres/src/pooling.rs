//! What lies between the store and the server.

use sqlx::{Connection as _, PgConnection, Row, postgres::PgConnectOptions};
use tower_idempotency_core::{ConfigError, StoreError, StoreErrorKind};

use crate::error;

/// What lies between the store and the server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Pooling {
    /// Nothing, or a pooler that gives a client one server connection until it disconnects
    /// (`PgBouncer` with `pool_mode = session`). The default.
    #[default]
    Session,
    /// A pooler that may give every transaction another server connection
    /// (`PgBouncer` with `pool_mode = transaction`).
    ///
    /// Every operation is then in an explicit transaction, and no statement is prepared under a
    /// name. That costs two round trips more for each.
    ///
    /// What the application itself runs through the pooler is its own affair: the driver prepares
    /// every query under a name that is not marked `persistent(false)`, and other clients of the
    /// same server connection use the same names. Without bound values,
    /// `sqlx::raw_sql` is safe too.
    Transaction,
    /// The same, but the pooler keeps track of prepared statements
    /// (`PgBouncer` 1.21 and later with `max_prepared_statements` above 0).
    TransactionWithPreparedStatements,
}

impl Pooling {
    /// Tells whether each operation needs a transaction around it.
    pub(crate) const fn needs_transactions(self) -> bool {
        matches!(self, Self::Transaction)
    }
}

/// How often both connections are asked which server connection they have: often enough that a busy
/// pooler does not give them the same ones each time by chance.
const ROUNDS: u32 = 8;

/// Refuses a server behind a pooler that gives each transaction another connection.
///
/// Two connections that are open at the same time have a server process each, and keep it.
/// A pooler in transaction mode lends them the same one, or changes it under way.
pub(crate) async fn refuse_transaction_pooling(
    options: &PgConnectOptions,
) -> Result<(), StoreError> {
    let connect = || PgConnection::connect_with(options);
    let mut first = connect().await.map_err(error::store_error)?;
    let mut second = connect().await.map_err(error::store_error)?;
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        let one = server_process(&mut first).await;
        let other = server_process(&mut second).await;
        let pair = one.and_then(|one| Ok((one, other?)));
        seen.push(pair.map_err(error::store_error)?);
    }
    // They are open until here; how they end does not matter.
    drop((first.close().await, second.close().await));
    if seen.iter().all(|pair| pair.0 != pair.1 && *pair == seen[0]) {
        return Ok(());
    }
    let must = "must be `Pooling::Transaction`: the server is behind a pooler that gives each \
                transaction another connection (PgBouncer with `pool_mode = transaction`), where \
                prepared statements reach other clients; or connect to the server itself";
    let refused = ConfigError::new("pooling", "Pooling::Session", must);
    Err(StoreError::new(StoreErrorKind::Internal, refused))
}

/// Asks by the simple protocol, which every pooler can carry.
async fn server_process(connection: &mut PgConnection) -> sqlx::Result<(i32, String)> {
    const ASK: &str = "SELECT pg_backend_pid() AS pid, pg_postmaster_start_time()::text AS since";
    let row = sqlx::raw_sql(ASK).fetch_one(connection).await?;
    Ok((row.try_get("pid")?, row.try_get("since")?))
}

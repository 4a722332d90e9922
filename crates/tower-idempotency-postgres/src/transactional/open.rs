//! A transaction that has been begun.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Database, PgConnection, Postgres, Row, SqlSafeStr, postgres::PgRow};
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;
use tower_idempotency_core::RecordId;

use super::store::Transactional;
use crate::{connection::Connection, row, sabotage::Guard};

type Manager = <Postgres as Database>::TransactionManager;

/// A transaction on a connection of its own.
///
/// The driver counts it, so that a handler that begins one in it gets a savepoint.
/// Dropping it closes the connection, and the server rolls back.
#[derive(Debug)]
pub(crate) struct OpenTransaction {
    connection: Connection,
    /// Whether a statement of the handler's has met another transaction.
    pub(crate) met_another: bool,
    pub(crate) named_statements: bool,
}

/// What a transaction saw first.
pub(crate) struct Seen {
    /// Whether it has the key's lock.
    pub(crate) ours: bool,
    /// The record, if there is one.
    pub(crate) record: Option<tower_idempotency_core::RawClaim>,
}

impl OpenTransaction {
    /// Begins, tries the key's lock and looks the record up.
    ///
    /// The look comes after the lock, in a statement of its own: it sees what the last holder of
    /// the lock has committed.
    pub(crate) async fn begin(
        transactional: &Transactional,
        id: &RecordId,
        mark: &str,
    ) -> sqlx::Result<(Self, Seen)> {
        let begin = format!(
            "{}; SELECT set_config('tower_idempotency.token', '{mark}', true)",
            transactional.begin
        );
        Self::begin_with(begin, transactional, id).await
    }

    /// The same, only to look: what was committed before it has the lock is seen, whatever level
    /// the handlers' transactions are at.
    pub(crate) async fn begin_to_look(
        transactional: &Transactional,
        id: &RecordId,
    ) -> sqlx::Result<(Self, Seen)> {
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY".to_owned();
        Self::begin_with(begin, transactional, id).await
    }

    async fn begin_with(
        begin: String,
        transactional: &Transactional,
        id: &RecordId,
    ) -> sqlx::Result<(Self, Seen)> {
        let shared = &transactional.shared;
        let mut connection = Connection::from_pool(&shared.pool).await?;
        let begin = AssertSqlSafe(begin).into_sql_str();
        Manager::begin(&mut connection, Some(begin)).await?;
        let mut open = Self {
            connection,
            met_another: false,
            named_statements: !shared.pooling.needs_transactions(),
        };
        let seen = open.look(transactional, id).await?;
        Ok((open, seen))
    }

    async fn look(&mut self, transactional: &Transactional, id: &RecordId) -> sqlx::Result<Seen> {
        let sql = &transactional.shared.sql;
        // Both by the simple protocol, in one round trip.
        let rows: Vec<PgRow> = sqlx::raw_sql(AssertSqlSafe(sql.look_literally(id)))
            .fetch_all(&mut *self.connection)
            .await?;
        let ours = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let left_out = transactional.shared.left_out == Some(Guard::InTransactionCheck);
        Ok(Seen {
            ours: left_out || ours.try_get("ours")?,
            record: rows.get(1).map(row::claim).transpose()?.flatten(),
        })
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    pub(crate) fn connection_ref(&self) -> &PgConnection {
        &self.connection
    }

    /// Returns the connection, and where it is noted that a statement met another transaction.
    pub(crate) fn parts(&mut self) -> (&mut PgConnection, &mut bool) {
        (&mut self.connection, &mut self.met_another)
    }

    /// Tells whether the driver would end a savepoint, and not the transaction.
    pub(crate) fn has_savepoint(&self) -> bool {
        Manager::get_transaction_depth(&self.connection) > 1
    }

    /// Commits. After an error, what became of it may not be known.
    pub(crate) async fn commit(&mut self, bound: Duration) -> sqlx::Result<()> {
        in_time(bound, Manager::commit(&mut self.connection)).await?;
        self.connection.done();
        Ok(())
    }

    /// Rolls back; if that cannot be done in time, the connection is closed instead.
    ///
    /// Returns the connection for another statement.
    pub(crate) async fn roll_back(mut self, bound: Duration) -> Option<Connection> {
        let rolled_back = async {
            while sqlx::Connection::is_in_transaction(&*self.connection) {
                Manager::rollback(&mut self.connection).await?;
            }
            Ok(())
        };
        in_time(bound, rolled_back).await.ok()?;
        Some(self.connection)
    }
}

async fn in_time<T>(
    bound: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    timeout(bound, work)
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

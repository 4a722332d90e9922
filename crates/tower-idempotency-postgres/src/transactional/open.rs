//! A transaction that has been begun.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Database, PgConnection, Postgres, Row, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;
use tower_idempotency_core::{LeaseToken, RawClaim, RecordId};

use super::store::Transactional;
use crate::{connection::Connection, row, sabotage::Guard, sql::lock_number};

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
    /// The record, if there is one. Without the lock, somebody may be about to change it.
    pub(crate) record: Option<RawClaim>,
}

impl OpenTransaction {
    /// Begins, tries the key's lock and looks whether there is a record, in two round trips; one
    /// that is there, or may be where the lock was not to be had, is read by a third.
    pub(crate) async fn begin(
        transactional: &Transactional,
        id: &RecordId,
        mark: LeaseToken,
    ) -> sqlx::Result<(Self, Seen)> {
        Self::begin_with(transactional.begin, transactional, id, mark).await
    }

    /// The same, only to look: what was committed before it has the lock is seen, whatever level
    /// the handlers' transactions are at.
    pub(crate) async fn begin_to_look(
        transactional: &Transactional,
        id: &RecordId,
    ) -> sqlx::Result<(Self, Seen)> {
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY";
        Self::begin_with(begin, transactional, id, LeaseToken::random()).await
    }

    async fn begin_with(
        begin: &'static str,
        transactional: &Transactional,
        id: &RecordId,
        mark: LeaseToken,
    ) -> sqlx::Result<(Self, Seen)> {
        let shared = &transactional.shared;
        let mut connection = Connection::acquire(&shared.connections).await?;
        Manager::begin(&mut connection, Some(begin.into_sql_str())).await?;
        let mut open = Self {
            connection,
            met_another: false,
            named_statements: !shared.pooling.needs_transactions(),
        };
        let seen = open.look(transactional, id, mark).await?;
        Ok((open, seen))
    }

    async fn look(
        &mut self,
        transactional: &Transactional,
        id: &RecordId,
        mark: LeaseToken,
    ) -> sqlx::Result<Seen> {
        let shared = &transactional.shared;
        let there = self.lock_and_look(transactional, id, mark).await?;
        // Without this guard, the lock does not matter.
        let left_out = shared.left_out == Some(Guard::InTransactionCheck);
        let record = if there != Some(false) || left_out {
            let find = shared.query(&shared.sql.found);
            let find = find.bind(id.as_bytes().as_slice());
            let row = find.fetch_optional(&mut *self.connection).await?;
            row.as_ref().map(|row| row::claim(row, 0)).transpose()?
        } else {
            None
        };
        Ok(Seen {
            ours: left_out || there.is_some(),
            record,
        })
    }

    /// Tells whether there is a record; `None` if somebody else has the lock.
    async fn lock_and_look(
        &mut self,
        transactional: &Transactional,
        id: &RecordId,
        mark: LeaseToken,
    ) -> sqlx::Result<Option<bool>> {
        let statement = &transactional.lock_and_look;
        let connection = &mut *self.connection;
        let row = if self.named_statements {
            let query = transactional.shared.query(statement);
            let query = query.bind(id.as_bytes().as_slice()).bind(lock_number(id));
            query
                .bind(mark.as_uuid().to_string())
                .fetch_one(connection)
                .await?
        } else {
            let literal = AssertSqlSafe(statement.with_values(id, mark));
            sqlx::raw_sql(literal).fetch_one(connection).await?
        };
        row.try_get(0)
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

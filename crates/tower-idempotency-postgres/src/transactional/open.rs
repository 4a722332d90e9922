//! A transaction that has been begun.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Database, PgConnection, Postgres, Row, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;
use tokio::time::timeout;
use tower_idempotency_core::{LeaseToken, RawClaim, RecordId};

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
    pub(crate) record: Option<RawClaim>,
    /// The number of the table that it was looked for in.
    table: i64,
}

/// A transaction that is to be begun, and what is looked for in it.
struct Look<'a> {
    transactional: &'a Transactional,
    begin: &'a str,
    id: &'a RecordId,
    mark: LeaseToken,
}

impl Look<'_> {
    async fn begin_on(
        &self,
        mut connection: Connection,
        table: Option<i64>,
    ) -> sqlx::Result<(OpenTransaction, Seen)> {
        let shared = &self.transactional.shared;
        let lock = shared.sql.lock_literally(self.id, self.mark, table);
        let begin = AssertSqlSafe(format!("{}; {lock}", self.begin)).into_sql_str();
        Manager::begin(&mut connection, Some(begin)).await?;
        let mut open = OpenTransaction {
            connection,
            met_another: false,
            named_statements: !shared.pooling.needs_transactions(),
        };
        let seen = self.look(&mut open).await?;
        Ok((open, seen))
    }

    async fn look(&self, open: &mut OpenTransaction) -> sqlx::Result<Seen> {
        let shared = &self.transactional.shared;
        let find = &self.transactional.find;
        let connection = &mut *open.connection;
        let row = if open.named_statements {
            let find = shared.query(find).bind(self.id.as_bytes().as_slice());
            find.fetch_one(connection).await?
        } else {
            let find = AssertSqlSafe(find.with_id(self.id));
            sqlx::raw_sql(find).fetch_one(connection).await?
        };
        let found: Option<String> = row.try_get("mark")?;
        let left_out = shared.left_out == Some(Guard::InTransactionCheck);
        Ok(Seen {
            ours: left_out || found == Some(self.mark.as_uuid().to_string()),
            record: row::claim(&row)?,
            table: row.try_get("table_number")?,
        })
    }
}

impl OpenTransaction {
    /// Begins, tries the key's lock and looks the record up, in two round trips.
    ///
    /// The look comes after the lock, in a statement of its own: it sees what the last holder of
    /// the lock has committed. It also brings back whether the lock was to be had, since the driver
    /// shows nothing of what comes with `BEGIN`.
    pub(crate) async fn begin(
        transactional: &Transactional,
        id: &RecordId,
        mark: LeaseToken,
    ) -> sqlx::Result<(Self, Seen)> {
        Self::begin_with(&transactional.begin, transactional, id, mark).await
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

    /// Does it once more if the lock was made of another table than the one that is there now.
    async fn begin_with(
        begin: &str,
        transactional: &Transactional,
        id: &RecordId,
        mark: LeaseToken,
    ) -> sqlx::Result<(Self, Seen)> {
        let table = transactional.table.seen();
        let connection = Connection::from_pool(&transactional.shared.pool).await?;
        let claim = Look {
            transactional,
            begin,
            id,
            mark,
        };
        let (mut open, seen) = claim.begin_on(connection, table).await?;
        transactional.table.note(seen.table);
        if table.is_none_or(|table| table == seen.table) {
            return Ok((open, seen));
        }
        Manager::rollback(&mut open.connection).await?;
        claim.begin_on(open.connection, None).await
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

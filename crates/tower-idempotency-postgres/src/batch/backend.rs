//! Runs batches on Postgres.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool, SqlSafeStr, SqlStr};
use tokio::time::timeout;
use tower_idempotency_batch::{Backend, Ran};
use tower_idempotency_core::RecordId;

use super::{
    connection::{LaneConnection, for_transaction},
    error::{SharedError, Stuck, is_poison, is_race},
    operation::{Answer, Operation},
    statement,
};
use crate::{claim, pooling::Pooling, sql::Sql};

/// How many lost races a batch is run again after. Then it is divided, as if one of its operations
/// could not be run at all; a claim by itself loses no race.
const RACES: usize = 2;

/// What lanes need.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(super) pool: PgPool,
    pub(super) sql: Arc<Sql>,
    pub(super) pooling: Pooling,
    pub(super) operation_timeout: Duration,
    begin: SqlStr,
}

impl Lanes {
    pub(super) fn new(
        pool: PgPool,
        sql: Arc<Sql>,
        pooling: Pooling,
        operation_timeout: Duration,
    ) -> Self {
        Self {
            pool,
            sql,
            pooling,
            operation_timeout,
            begin: AssertSqlSafe(for_transaction(operation_timeout)).into_sql_str(),
        }
    }

    /// Runs a batch, again if the server refused it because somebody else made one of its records
    /// meanwhile: that record is seen then.
    async fn run_on(
        &self,
        connection: &mut PgConnection,
        batch: &[Operation],
    ) -> Result<Vec<Answer>, Error> {
        for _ in 0..RACES {
            match self.run_once_on(connection, batch).await {
                Err(Error::Usual(error)) if is_race(&error) => {}
                ran => return ran,
            }
        }
        self.run_once_on(connection, batch).await
    }

    async fn run_once_on(
        &self,
        connection: &mut PgConnection,
        batch: &[Operation],
    ) -> Result<Vec<Answer>, Error> {
        if self.pooling == Pooling::Session {
            let ran = self.run_statement(connection, batch).await;
            return ran.map_err(Error::Usual);
        }
        let begin = sqlx::raw_sql(self.begin.clone());
        connection.execute(begin).await.map_err(Error::Fatal)?;
        let ran = self.run_statement(connection, batch).await;
        let end = if ran.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = connection.execute(end).await;
        match (ran, ended) {
            (Ok(answers), Ok(_)) => Ok(answers),
            (Err(error), Ok(_)) => Err(Error::Usual(error)),
            // The error that led to a rollback says more than one of the rollback.
            (Err(error), Err(_)) | (Ok(_), Err(error)) => Err(Error::Fatal(error)),
        }
    }

    async fn run_statement(
        &self,
        connection: &mut PgConnection,
        batch: &[Operation],
    ) -> sqlx::Result<Vec<Answer>> {
        let is_persistent = !self.pooling.needs_transactions();
        if let [
            Operation::TakeOver {
                request,
                seen,
                because,
            },
        ] = batch
        {
            let query = sqlx::query(self.sql.take_over.clone()).persistent(is_persistent);
            let attempt = claim::take_over(connection, query, request, *seen, *because).await?;
            return Ok(vec![Answer::TakenOver(attempt)]);
        }
        statement::run(connection, &self.sql, is_persistent, batch).await
    }
}

/// How a batch failed.
enum Error {
    /// In a way that may leave the connection as it was.
    Usual(sqlx::Error),
    /// The connection is in a state that nobody knows.
    Fatal(sqlx::Error),
}

impl Backend for Lanes {
    type Connection = LaneConnection;
    type Operation = Operation;
    type Key = RecordId;
    type Answer = Answer;
    type Error = SharedError;

    async fn connect(&self) -> Result<LaneConnection, SharedError> {
        let open = LaneConnection::open(&self.pool, self.pooling, self.operation_timeout);
        let opened = timeout(self.operation_timeout, open).await;
        let opened = opened.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        opened.map_err(SharedError::from)
    }

    async fn reuse(&self, connection: LaneConnection) -> Option<LaneConnection> {
        if connection.is_good(&self.pool) {
            return Some(connection);
        }
        connection.close().await;
        None
    }

    async fn run(&self, mut connection: LaneConnection, batch: &[Operation]) -> Ran<Self> {
        let run = self.run_on(connection.inner(), batch);
        // Whatever is still running at the bound goes on without anybody listening: its connection
        // is closed.
        let ran = timeout(self.operation_timeout, run).await;
        let ran = ran.unwrap_or_else(|_| Err(Error::Fatal(Stuck::TimedOut.into_error())));
        match ran {
            Ok(answers) => Ran::Done {
                connection,
                answers,
            },
            Err(Error::Usual(error)) if is_poison(&error) => Ran::Poisoned {
                connection,
                error: error.into(),
            },
            // After an error of the server, the connection waits for the next statement.
            Err(Error::Usual(error)) if is_of_statement(&error) => Ran::Failed {
                connection: Some(connection),
                error: error.into(),
            },
            Err(Error::Usual(error) | Error::Fatal(error)) => Ran::Failed {
                connection: None,
                error: error.into(),
            },
        }
    }

    fn weight(&self, operation: &Operation) -> usize {
        operation.weight()
    }

    /// Two ends of one record are not in one statement: it would change the record once.
    fn key(&self, operation: &Operation) -> Option<RecordId> {
        match operation {
            Operation::End(end) => Some(end.id),
            Operation::Claim { .. } | Operation::TakeOver { .. } => None,
        }
    }
}

/// Tells whether the server refused a statement, and nothing is wrong with the connection.
fn is_of_statement(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| !code.starts_with("08") && !code.starts_with("57P"))
}

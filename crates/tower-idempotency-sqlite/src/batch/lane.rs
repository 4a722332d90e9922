//! Runs batches on the store's writing connection.

use std::time::Duration;

use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};
use tokio::time::timeout;
use tower_idempotency_batch::{Backend, Ran};

use super::error::{SharedError, Stuck};
use crate::{
    error,
    operation::{Answer, Operation},
};

/// What a lane needs.
#[derive(Debug)]
pub(crate) struct Writer {
    pool: SqlitePool,
    operation_timeout: Duration,
}

impl Writer {
    pub(super) const fn new(pool: SqlitePool, operation_timeout: Duration) -> Self {
        Self {
            pool,
            operation_timeout,
        }
    }

    async fn run_on(
        &self,
        turn: Turn,
        batch: &[Operation],
    ) -> sqlx::Result<Vec<sqlx::Result<Answer>>> {
        let mut connection = match turn.0 {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        match batch {
            // It is a transaction by itself.
            [operation] => operation.run(&mut connection).await.map(|it| vec![Ok(it)]),
            _ => run_together(&mut connection, batch).await,
        }
    }
}

/// Runs a batch in one transaction. An operation that fails by itself leaves the others alone.
async fn run_together(
    connection: &mut SqliteConnection,
    batch: &[Operation],
) -> sqlx::Result<Vec<sqlx::Result<Answer>>> {
    // With the write lock, since a transaction that has read first may not get it later.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut answers = Vec::with_capacity(batch.len());
    for operation in batch {
        match operation.run(&mut transaction).await {
            Err(error) if !error::is_of_one(&error) => return Err(error),
            answer => answers.push(answer),
        }
    }
    transaction.commit().await?;
    Ok(answers)
}

/// The writing connection, for one batch.
#[derive(Debug, Default)]
pub(crate) struct Turn(Option<PoolConnection<Sqlite>>);

impl Backend for Writer {
    type Connection = Turn;
    type Operation = Operation;
    /// The statements of a batch run one after the other, so any two of them go together.
    type Key = ();
    type Answer = sqlx::Result<Answer>;
    type Error = SharedError;

    async fn connect(&self) -> Result<Turn, SharedError> {
        let connection = self.pool.acquire().await?;
        Ok(Turn(Some(connection)))
    }

    /// Lets whoever else wants to write have a turn.
    async fn reuse(&self, _: Turn) -> Option<Turn> {
        None
    }

    async fn run(&self, turn: Turn, batch: &[Operation]) -> Ran<Self> {
        let run = self.run_on(turn, batch);
        // What is still running at the bound is rolled back by the drop.
        let ran = timeout(self.operation_timeout, run).await;
        match ran.unwrap_or_else(|_| Err(Stuck::TimedOut.into_error())) {
            Ok(answers) => Ran::Done {
                connection: Turn::default(),
                answers,
            },
            Err(error) => Ran::Failed {
                connection: Some(Turn::default()),
                error: error.into(),
            },
        }
    }

    fn weight(&self, operation: &Operation) -> usize {
        operation.weight()
    }

    fn key(&self, _: &Operation) -> Option<()> {
        None
    }
}

//! Connections that nobody has to wait for.

use std::ops::{Deref, DerefMut};

use sqlx::{Executor, PgConnection};

use crate::{
    connections::{Connections, Passed},
    pooling::Pooling,
};

/// What an operation of the store's may wait for at most, where no connection option says so:
/// a pooler does not pass those on.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = 2000; SET LOCAL statement_timeout = 4000";

/// A connection from the pool, that goes back there only when its work is done.
///
/// The driver gives a connection back whose statement is still running,
/// and whoever gets it next waits for that statement.
/// So when the work is dropped midway, by a time-out or with the caller,
/// this closes the connection and the pool opens another one.
#[derive(Debug)]
pub(crate) struct Connection {
    passed: Option<Passed>,
    after: After,
    in_transaction: bool,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum After {
    /// A statement may still be running: it is closed.
    Closed,
    /// The pool finds out whether it can be used again.
    Returned,
    /// Whoever waits for a connection can have it.
    PassedOn,
}

impl Connection {
    /// Takes a connection as it is.
    pub(crate) async fn acquire(connections: &Connections) -> sqlx::Result<Self> {
        Ok(Self {
            passed: Some(connections.acquire().await?),
            after: After::Closed,
            in_transaction: false,
        })
    }

    /// Takes a connection for one operation, in a transaction where what lies between needs it.
    pub(crate) async fn begin(connections: &Connections, pooling: Pooling) -> sqlx::Result<Self> {
        Self::acquire(connections).await?.again(pooling).await
    }

    /// Begins another operation on the connection of one that has ended.
    pub(crate) async fn again(mut self, pooling: Pooling) -> sqlx::Result<Self> {
        if pooling.needs_transactions() {
            self.execute(BEGIN).await?;
            self.in_transaction = true;
        }
        Ok(self)
    }

    /// Ends the operation, with the transaction around it if there is one.
    pub(crate) async fn finish<T>(mut self, result: sqlx::Result<T>) -> sqlx::Result<T> {
        let result = match result {
            _ if !self.in_transaction => result,
            Ok(value) => self.execute("COMMIT").await.map(|_| value),
            // The error that led here says more than one of the rollback.
            Err(error) => match self.execute("ROLLBACK").await {
                Ok(_) => Err(error),
                Err(_) => return Err(error),
            },
        };
        self.after = match &result {
            Ok(_) => After::PassedOn,
            Err(_) => After::Returned,
        };
        result
    }

    /// Says that no statement is running any more, and the last one succeeded.
    pub(crate) fn done(&mut self) {
        self.after = After::PassedOn;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(passed) = self.passed.take() else {
            return;
        };
        match self.after {
            // Dropping the bare connection closes its socket.
            After::Closed => drop(passed.pooled.detach()),
            After::Returned => drop(passed),
            After::PassedOn => passed.pass_on(),
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        let passed = self.passed.as_ref();
        &passed.expect("a connection is taken by drop alone").pooled
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        let passed = self.passed.as_mut();
        &mut passed.expect("a connection is taken by drop alone").pooled
    }
}

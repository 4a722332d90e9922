//! Connections that nobody has to wait for.

use std::ops::{Deref, DerefMut};

use sqlx::{Executor, PgConnection, PgPool, Postgres, pool::PoolConnection};

use crate::pooling::Pooling;

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
    pooled: Option<PoolConnection<Postgres>>,
    is_idle: bool,
    in_transaction: bool,
}

impl Connection {
    /// Takes a connection as it is.
    pub(crate) async fn from_pool(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self {
            pooled: Some(pool.acquire().await?),
            is_idle: false,
            in_transaction: false,
        })
    }

    /// Takes a connection for one operation, in a transaction where what lies between needs it.
    pub(crate) async fn begin(pool: &PgPool, pooling: Pooling) -> sqlx::Result<Self> {
        Self::from_pool(pool).await?.again(pooling).await
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
        self.done();
        result
    }

    /// Says that no statement is running any more, whether it succeeded or not.
    pub(crate) fn done(&mut self) {
        self.is_idle = true;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(pooled) = self.pooled.take()
            && !self.is_idle
        {
            // Dropping the bare connection closes its socket.
            drop(pooled.detach());
        }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.pooled
            .as_ref()
            .expect("a connection is taken by drop alone")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.pooled
            .as_mut()
            .expect("a connection is taken by drop alone")
    }
}

//! Connections that nobody has to wait for.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

/// A connection from the pool, that goes back there only when its work is done.
///
/// The driver gives a connection back whose statement is still running,
/// and whoever gets it next waits for that statement.
/// So when the work is dropped midway, by a time-out or with the caller,
/// this closes the connection and the pool opens another one.
pub(crate) struct Connection {
    pooled: Option<PoolConnection<Postgres>>,
    is_idle: bool,
}

impl Connection {
    pub(crate) async fn from_pool(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self {
            pooled: Some(pool.acquire().await?),
            is_idle: false,
        })
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

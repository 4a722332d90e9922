//! Connections that pass from one transaction to the next.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{Either, select},
};
use sqlx::PgPool;
use tokio::sync::oneshot;

use crate::connection::Connection;

/// How long a connection is passed on before it goes back to the pool, where others wait, too.
const TURN: Duration = Duration::from_millis(20);

/// Hands connections whose transaction has ended to claims that wait for one.
///
/// By way of the pool that is a task, a round trip to test the connection, and two ways through
/// the scheduler. A claim waits in both places; which of them serves it first does not matter.
#[derive(Debug)]
pub(crate) struct Relay {
    is_on: bool,
    waiting: Mutex<VecDeque<oneshot::Sender<Connection>>>,
}

impl Relay {
    pub(crate) fn new(is_on: bool) -> Self {
        let waiting = Mutex::default();
        Self { is_on, waiting }
    }

    /// Takes a connection from the pool, or from a transaction that ends.
    ///
    /// Only while the pool has nothing more to give: it would never grow if claims could always
    /// have the connection of somebody else.
    pub(crate) async fn connection(&self, pool: &PgPool) -> sqlx::Result<Connection> {
        let mut pooled = pin!(Connection::from_pool(pool));
        if !self.is_on || pool.size() < pool.options().get_max_connections() {
            return pooled.await;
        }
        if let Some(connection) = pooled.as_mut().now_or_never() {
            return connection;
        }
        match select(pooled, self.wait()).await {
            Either::Left((connection, _)) => connection,
            Either::Right((Ok(mut connection), _)) => {
                connection.busy();
                Ok(connection)
            }
            // Nobody passes anything on any more.
            Either::Right((Err(_), pooled)) => pooled.await,
        }
    }

    fn wait(&self) -> oneshot::Receiver<Connection> {
        let (sender, receiver) = oneshot::channel();
        self.lock().push_back(sender);
        receiver
    }

    /// Ends the use of a connection: the claim that has waited longest gets it, or else the pool.
    pub(crate) fn pass_on(&self, pool: &PgPool, mut connection: Connection) {
        connection.done();
        if connection.age() >= TURN || pool.is_closed() {
            return;
        }
        loop {
            let Some(next) = self.lock().pop_front() else {
                return;
            };
            // Whoever waits no longer gives it back.
            match next.send(connection) {
                Ok(()) => return,
                Err(returned) => connection = returned,
            }
        }
    }

    /// A queue is changed in one step, so one left by a thread that panicked is whole.
    fn lock(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<Connection>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

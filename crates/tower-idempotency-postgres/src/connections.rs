//! Where the connections for single operations and transactions come from.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use sqlx::{PgPool, Postgres, pool::PoolConnection};
use tokio::sync::oneshot;

/// How often in a row a connection goes from one to the next. Then it goes back to the pool, where
/// others may have waited longer.
const IN_A_ROW: u32 = 16;

/// The pool, and whoever waits for one of its connections.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub(crate) pool: PgPool,
    /// `None` if every connection goes back to the pool.
    waiting: Option<Arc<Waiting>>,
}

/// Those who wait, the first one first. Whoever has got a connection otherwise is still in the list.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<VecDeque<oneshot::Sender<Passed>>>);

/// A connection, and how it can be passed on.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) pooled: PoolConnection<Postgres>,
    waiting: Option<Arc<Waiting>>,
    in_a_row: u32,
}

impl Connections {
    pub(crate) fn new(pool: PgPool, pass_on: bool) -> Self {
        let waiting = pass_on.then(Arc::default);
        Self { pool, waiting }
    }

    /// Takes a connection from the pool, or from whoever is done with one first.
    pub(crate) async fn acquire(&self) -> sqlx::Result<Passed> {
        let mut pooled = pin!(self.pool.acquire());
        let Some(waiting) = self.waiting.as_ref().filter(|_| self.is_full()) else {
            return Ok(self.taken(pooled.await?));
        };
        let mut lined_up = None;
        // Whoever waits is in both queues; the pool's has the bound.
        poll_fn(|context| {
            if let Poll::Ready(pooled) = pooled.as_mut().poll(context) {
                return Poll::Ready(Ok(self.taken(pooled?)));
            }
            let passed = lined_up.get_or_insert_with(|| waiting.line_up());
            // The list is there as long as the store is, so nobody is forgotten in it.
            Pin::new(passed).poll(context).map(|passed| {
                let forgotten = |_| sqlx::Error::PoolClosed;
                passed.map_err(forgotten)
            })
        })
        .await
    }

    /// Tells whether the pool opens no more connections. Until then its own queue is better: whoever
    /// stood in the other one would give up opening one as soon as another came along.
    fn is_full(&self) -> bool {
        self.pool.size() >= self.pool.options().get_max_connections()
    }

    fn taken(&self, pooled: PoolConnection<Postgres>) -> Passed {
        Passed {
            pooled,
            waiting: self.waiting.clone(),
            in_a_row: 0,
        }
    }
}

impl Waiting {
    fn line_up(&self) -> oneshot::Receiver<Passed> {
        let (sender, receiver) = oneshot::channel();
        let mut list = self.lock();
        // Where nothing is passed on, as every statement fails, nobody else would take them out.
        while list.front().is_some_and(oneshot::Sender::is_closed) {
            list.pop_front();
        }
        list.push_back(sender);
        receiver
    }

    fn next(&self) -> Option<oneshot::Sender<Passed>> {
        self.lock().pop_front()
    }

    /// Each change is one step, so a list left by a thread that panicked is whole.
    fn lock(&self) -> MutexGuard<'_, VecDeque<oneshot::Sender<Passed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passed {
    /// Gives the connection to whoever waits for one, or back to the pool.
    ///
    /// It must have answered everything, without an error, and be in no transaction.
    pub(crate) fn pass_on(mut self) {
        let Some(waiting) = self.waiting.clone() else {
            return;
        };
        self.in_a_row += 1;
        while self.in_a_row < IN_A_ROW
            && let Some(next) = waiting.next()
        {
            match next.send(self) {
                Ok(()) => return,
                // It has got another one, or does not wait any more.
                Err(passed) => self = passed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_do_not_wait_any_more_leave_the_list() {
        let waiting = Waiting::default();
        let first = waiting.line_up();
        for _ in 0..3 {
            drop(waiting.line_up());
        }
        // Behind somebody who waits they stay, until that one is served.
        assert_eq!(waiting.lock().len(), 4);
        drop(first);
        for _ in 0..3 {
            drop(waiting.line_up());
            assert_eq!(waiting.lock().len(), 1);
        }
    }
}

//! Where the connections for single operations and transactions come from.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{future::Either, task::AtomicWaker};
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
        let pooled = pin!(self.pool.acquire());
        let Some(waiting) = self.waiting.as_ref().filter(|_| self.all_are_out()) else {
            return Ok(self.taken(pooled.await?));
        };
        match first_of(pooled, waiting).await {
            Either::Left(pooled) => Ok(self.taken(pooled?)),
            Either::Right(passed) => Ok(passed),
        }
    }

    /// Tells whether the pool has nothing to give, and opens no more connections: whoever asks it
    /// has to wait for a turn then.
    ///
    /// It counts a connection that has come back a moment after it may be taken. Until then there
    /// may be fewer than none; and who takes one in that moment may give it up for one that is
    /// passed on, so that it is closed and the pool opens another.
    fn all_are_out(&self) -> bool {
        let idle = self.pool.num_idle().cast_signed();
        let is_full = self.pool.size() >= self.pool.options().get_max_connections();
        is_full && idle <= 0
    }

    fn taken(&self, pooled: PoolConnection<Postgres>) -> Passed {
        Passed {
            pooled,
            waiting: self.waiting.clone(),
            in_a_row: 0,
        }
    }
}

/// Learns that the pool has woken somebody.
#[derive(Default)]
struct Turn {
    has_come: AtomicBool,
    waits: AtomicWaker,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.has_come.store(true, Ordering::Release);
        self.waits.wake();
    }
}

/// Waits for the pool, and until it is one's turn there for connections that are passed on, too.
///
/// Whoever has had its turn may be opening a connection, or asking one whether it is there, and
/// would close it by giving up. The pool does not say who has. But it wakes whoever is in its queue
/// for nothing else, so nothing is passed on to those that it has woken.
async fn first_of<F: Future>(
    mut pooled: Pin<&mut F>,
    waiting: &Waiting,
) -> Either<F::Output, Passed> {
    let turn = Arc::new(Turn::default());
    let waker = Waker::from(Arc::clone(&turn));
    if let Poll::Ready(pooled) = pooled.as_mut().poll(&mut Context::from_waker(&waker)) {
        return Either::Left(pooled);
    }
    let mut lined_up = waiting.line_up();
    let passed = poll_fn(|context| {
        turn.waits.register(context.waker());
        if let Poll::Ready(passed) = Pin::new(&mut lined_up).poll(context) {
            return Poll::Ready(passed.ok());
        }
        if turn.has_come.load(Ordering::Acquire) {
            lined_up.close();
            return Poll::Ready(lined_up.try_recv().ok());
        }
        Poll::Pending
    });
    match passed.await {
        Some(passed) => Either::Right(passed),
        None => Either::Left(pooled.await),
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

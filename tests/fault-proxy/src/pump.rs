//! One direction of a connection.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    Direction, Fault,
    connection::{End, Link},
    orders::{Orders, until},
};

const CHUNK: usize = 16 * 1024;
/// A limited bandwidth comes in so many portions a second.
const PORTIONS: u64 = 20;

/// What a connection has passed since a fault was set.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    generation: u64,
    spent: u64,
}

impl Budget {
    /// Spends up to `wanted` bytes of `limit`; says how many, and whether any are left.
    fn spend(&mut self, generation: u64, limit: u64, wanted: usize) -> (usize, bool) {
        if self.generation != generation {
            *self = Self {
                generation,
                spent: 0,
            };
        }
        let left = limit.saturating_sub(self.spent);
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(wanted);
        self.spent += bytes as u64;
        (bytes, self.spent < limit)
    }
}

/// What may be done with the bytes at hand.
enum Leave {
    /// So many may pass; then the connection ends, or not.
    Pass(usize, Option<End>),
    /// So many may pass, when it is time.
    Later(usize, Instant),
    Swallow,
}

#[derive(Debug)]
pub(crate) struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    direction: Direction,
    link: &'a Link<'a>,
    orders: watch::Receiver<Orders>,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
        direction: Direction,
        link: &'a Link<'a>,
    ) -> Self {
        let orders = link.shared.orders.subscribe();
        Self {
            from,
            to,
            direction,
            link,
            orders,
        }
    }

    /// Passes bytes on until one side ends the stream; an error ends the whole connection.
    pub(crate) async fn run(mut self) -> Result<(), End> {
        let (direction, first) = (self.direction, self.link.first.half_closes(self.direction));
        let mut chunk = vec![0; CHUNK];
        let mut open = true;
        loop {
            let half_closed = |now: &Orders| now.half_closes(direction) != first;
            let read = tokio::select! {
                biased;
                _ = until(&mut self.orders, half_closed), if open => {
                    let _ = self.to.shutdown().await;
                    open = false;
                    continue;
                }
                read = self.from.read(&mut chunk) => read,
            };
            match read {
                Ok(0) => return self.end().await,
                // What comes after a half-close is read and dropped, so that nobody blocks on it.
                Ok(length) if open => self.deliver(&chunk[..length]).await?,
                Ok(_) => {}
                Err(_) => {
                    self.until_passable().await;
                    return Err(End::Reset);
                }
            }
        }
    }

    async fn end(&mut self) -> Result<(), End> {
        self.until_passable().await;
        let _ = self.to.shutdown().await;
        Ok(())
    }

    /// Waits for the end of a black hole, which swallows a FIN as well.
    async fn until_passable(&mut self) {
        let direction = self.direction;
        let passable =
            |now: &Orders| !matches!(now.fault, Fault::BlackHole(hole) if hole.covers(direction));
        until(&mut self.orders, passable).await;
    }

    async fn deliver(&mut self, bytes: &[u8]) -> Result<(), End> {
        let mut rest = bytes;
        let mut since = Instant::now();
        while !rest.is_empty() {
            let now = *self.orders.borrow_and_update();
            let (length, end) = match self.leave(now, since, rest.len()) {
                Leave::Swallow => return Ok(()),
                Leave::Pass(length, end) => (length, end),
                Leave::Later(length, due) => {
                    tokio::select! {
                        () = sleep_until(due) => (length, None),
                        // Whatever was ordered meanwhile holds for these bytes as well.
                        Ok(()) = self.orders.changed() => continue,
                    }
                }
            };
            let (portion, later) = rest.split_at(length);
            self.write(portion).await?;
            if let Some(end) = end {
                return Err(end);
            }
            rest = later;
            since = Instant::now();
        }
        Ok(())
    }

    fn leave(&self, now: Orders, since: Instant, length: usize) -> Leave {
        match now.fault {
            Fault::Delay(delay) => Leave::Later(length, since + delay),
            Fault::Bandwidth(rate) => {
                let rate = rate.max(1);
                let portion = usize::try_from((rate / PORTIONS).max(1)).unwrap_or(usize::MAX);
                let portion = portion.min(length);
                let micros = (portion as u64).saturating_mul(1_000_000) / rate;
                Leave::Later(portion, since + Duration::from_micros(micros))
            }
            Fault::BlackHole(hole) if hole.covers(self.direction) => Leave::Swallow,
            Fault::CutAfter(limit) => {
                let mut budget = locked(&self.link.budget);
                let (length, more) = budget.spend(now.generation, limit, length);
                Leave::Pass(length, (!more).then_some(End::Cut))
            }
            Fault::Pass | Fault::BlackHole(_) | Fault::Refuse => Leave::Pass(length, None),
        }
    }

    /// Writes what is left after the replies that are to be swallowed.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        if self.direction == Direction::ToServer {
            // Before the last byte of a statement is on its way, so that no reply comes too early.
            let is_trapped = |statement: &str| self.link.shared.traps().catches(statement);
            locked(&self.link.session).read_requests(bytes, is_trapped);
            return self.write_all(bytes).await;
        }
        let replies = locked(&self.link.session).filter_replies(bytes);
        self.write_all(&replies.passed).await?;
        if replies.swallowed {
            return Err(End::Swallowed);
        }
        Ok(())
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), End> {
        // The other side is gone, and whoever sends has to know.
        self.to.write_all(bytes).await.map_err(|_| End::Reset)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_once_and_renewed_by_the_next_fault() {
        let mut budget = Budget::default();
        assert_eq!(budget.spend(1, 10, 4), (4, true));
        assert_eq!(budget.spend(1, 10, 4), (4, true));
        assert_eq!(budget.spend(1, 10, 4), (2, false));
        assert_eq!(budget.spend(1, 10, 4), (0, false));
        assert_eq!(budget.spend(2, 10, 10), (10, false));
        assert_eq!(budget.spend(3, 0, 1), (0, false));
    }
}

//! What the test has told the proxy, as every connection sees it.

use tokio::sync::watch;

use crate::{Direction, Fault};

/// The present fault, and how often each passing one was ordered.
///
/// A connection compares the numbers with those at its beginning, so it misses none, and none
/// hits a connection that came later.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) fault: Fault,
    /// Counts the calls of `set`: two equal faults in a row are two.
    pub(crate) generation: u64,
    pub(crate) cuts: u64,
    pub(crate) resets: u64,
    half_closed_to_server: u64,
    half_closed_to_client: u64,
}

impl Orders {
    pub(crate) fn half_close(&mut self, direction: Direction) {
        self.half_closed_to_server += u64::from(direction.covers(Direction::ToServer));
        self.half_closed_to_client += u64::from(direction.covers(Direction::ToClient));
    }

    pub(crate) const fn half_closes(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToServer => self.half_closed_to_server,
            Direction::ToClient => self.half_closed_to_client,
            Direction::Both => self.half_closed_to_server + self.half_closed_to_client,
        }
    }
}

/// Waits until the orders are so; for ever, if the proxy is gone, since then the waiting task is
/// ended from outside.
pub(crate) async fn until(
    orders: &mut watch::Receiver<Orders>,
    are_so: impl FnMut(&Orders) -> bool,
) -> Orders {
    let found = orders.wait_for(are_so).await.map(|orders| *orders);
    match found {
        Ok(orders) => orders,
        Err(_) => std::future::pending().await,
    }
}

//! Every fault on real sockets, and the lost replies on a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod echo;
mod faults;
mod limits;
mod swallowed;

use std::{future::Future, time::Duration};

use tokio::time::{sleep, timeout};

/// The bound of every wait.
const BOUND: Duration = Duration::from_secs(20);
/// Long enough to notice what should not come, where nothing can be waited for.
const MOMENT: Duration = Duration::from_millis(100);

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(happens: impl Future<Output = T>) -> T {
    let happened = timeout(BOUND, happens).await;
    happened.expect("it happens within the bound")
}

/// Waits until something is so.
pub(crate) async fn eventually(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    soon(waiting).await;
}

/// Makes sure that something does not happen now.
pub(crate) async fn not_now<T>(happens: impl Future<Output = T>) {
    assert!(timeout(MOMENT, happens).await.is_err());
}

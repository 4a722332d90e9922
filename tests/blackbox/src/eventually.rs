//! Waiting for a fact.

use std::{future::Future, panic::Location, time::Duration};

use tokio::time::{Instant, sleep};

const BOUND: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until the answer is true.
///
/// # Panics
///
/// If it is not within fifteen seconds; the caller's place is in the message.
#[track_caller]
pub fn eventually<F>(mut is_so: impl FnMut() -> F) -> impl Future<Output = ()>
where
    F: Future<Output = bool>,
{
    let place = Location::caller();
    async move {
        let end = Instant::now() + BOUND;
        while !is_so().await {
            assert!(
                Instant::now() < end,
                "what {place} waits for does not happen"
            );
            sleep(PAUSE).await;
        }
    }
}

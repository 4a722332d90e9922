//! Requests without a key, which need no store.

use std::{sync::Arc, time::Duration};

use chaos::{Moment, Probe};
use fastrand::Rng;
use tokio::time::sleep;

use crate::{arena::Arena, http_call::post};

const BOUND: Duration = Duration::from_secs(3);

/// Sends a few of them all the time.
pub(crate) async fn probe(arena: Arc<Arena>, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    while !arena.is_over() {
        sleep(Duration::from_millis(rng.u64(50..200))).await;
        let slot = rng.usize(..arena.fleet.len());
        let Some((server, address)) = arena.fleet.target(slot) else {
            continue;
        };
        let begun = Moment::now();
        let answer = post(address, "/unkeyed", None, "{}", BOUND).await;
        let failure = match answer {
            Ok(answer) if answer.content.status == 204 => None,
            Ok(answer) => Some(format!("status {}", answer.content.status)),
            Err(error) => Some(error),
        };
        arena.note_probe(Probe {
            server,
            begun,
            ended: Moment::now(),
            failure,
        });
    }
}

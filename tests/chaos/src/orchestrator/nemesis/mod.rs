//! Breaking things.
//!
//! Several parts work side by side, each with choices of its own drawn from the seed:
//! what one of them does must not depend on how long another one takes.

mod database;
mod network;
mod servers;

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{arena::Arena, arguments::Arguments, database::Database};

/// Begins to break things; all parts end when the arena is over.
pub(crate) fn unleash(
    arena: &Arc<Arena>,
    database: &Database,
    arguments: &Arguments,
    seed: u64,
) -> JoinSet<anyhow::Result<()>> {
    let mut parts = JoinSet::new();
    let at = || Arc::clone(arena);
    let a_few = arguments.leaves_a_fence_out();
    parts.spawn(servers::kill(at(), a_few, seed ^ 0x1_0000));
    parts.spawn(servers::pause(at(), arguments.lease(), seed ^ 0x2_0000));
    let Some(behind) = database.behind() else {
        return parts;
    };
    // SQLite reads the clock of the process it is part of; Postgres has one of its own.
    parts.spawn(servers::shift_clocks(at(), seed ^ 0x3_0000));
    let behind = || Arc::clone(behind);
    parts.spawn(database::kill(at(), behind(), seed ^ 0x4_0000));
    parts.spawn(database::disturb(at(), behind(), seed ^ 0x5_0000));
    for slot in 0..arena.fleet.len() {
        let seed = seed ^ 0x6_0000 ^ ((slot as u64) << 32);
        parts.spawn(network::disturb(at(), behind(), slot, seed));
    }
    parts
}

/// Sleeps, and wakes early when the arena is over.
async fn rest(arena: &Arena, pause: Duration) {
    let mut left = pause;
    while !left.is_zero() && !arena.is_over() {
        let step = left.min(Duration::from_millis(100));
        sleep(step).await;
        left -= step;
    }
}

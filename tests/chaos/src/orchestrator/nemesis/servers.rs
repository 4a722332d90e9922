//! Killing, pausing and misleading servers.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use fastrand::Rng;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    arena::{Arena, count},
    fleet::Fleet,
};

/// On average. Kills are due at fixed times, so that a slow machine does not have fewer of them.
const BETWEEN_KILLS: Duration = Duration::from_millis(800);

/// Kills servers, more than one in a second; a few only, where two executions of a key are to
/// live long enough to overlap.
pub(crate) async fn kill(arena: Arc<Arena>, a_few: bool, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let between = BETWEEN_KILLS * if a_few { 10 } else { 1 };
    let mut due = Instant::now();
    while !arena.is_over() {
        due += between.mul_f64(0.5 + rng.f64());
        let first = rng.usize(..arena.fleet.len());
        let down = Duration::from_millis(rng.u64(0..400));
        let spares_the_still = rng.u32(..100) < 85;
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let slots = (0..arena.fleet.len()).map(|next| (first + next) % arena.fleet.len());
        let (still, moving): (Vec<_>, Vec<_>) =
            slots.partition(|&slot| arena.fleet.is_paused(slot));
        // One that stood still is to find that its leases are gone, mostly.
        let order = if spares_the_still {
            [moving, still].concat()
        } else {
            [still, moving].concat()
        };
        // The next one, if the server of a place is on its way up.
        for slot in order {
            if arena.fleet.kill(slot, down, None).await?.is_some() {
                count(&arena.figures.server_kills);
                break;
            }
        }
    }
    Ok(())
}

/// Stops servers where they are, mostly beyond their leases.
pub(crate) async fn pause(arena: Arc<Arena>, lease: Duration, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    while !arena.is_over() {
        sleep(Duration::from_millis(rng.u64(100..700))).await;
        let slot = rng.usize(..arena.fleet.len());
        let pause = lease.mul_f64(0.3 + 2.7 * rng.f64());
        if !arena.is_over() && arena.fleet.pause(slot, pause).await? {
            count(&arena.figures.pauses);
        }
    }
    Ok(())
}

/// Starts servers whose wall clocks are hours ahead or behind.
pub(crate) async fn shift_clocks(arena: Arc<Arena>, seed: u64) -> Result<()> {
    if !Fleet::can_shift_clocks() {
        println!("no clock is shifted: libfaketime is not installed");
        return Ok(());
    }
    let mut rng = Rng::with_seed(seed);
    while !arena.is_over() {
        sleep(Duration::from_millis(rng.u64(2_000..6_000))).await;
        let slot = rng.usize(..arena.fleet.len());
        let shift = if rng.bool() { "+3h" } else { "-3h" };
        if !arena.is_over()
            && arena
                .fleet
                .kill(slot, Duration::ZERO, Some(shift))
                .await?
                .is_some()
        {
            count(&arena.figures.server_kills);
        }
    }
    Ok(())
}

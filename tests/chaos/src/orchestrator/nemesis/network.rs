//! Breaking what lies between a server and its database.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use chaos::{FaultKind, Moment, Whom};
use fastrand::Rng;
use fault_proxy::{AfterSwallow, Direction, Fault, FaultProxy};

use super::rest;
use crate::{arena::Arena, database::Behind};

/// Most claims find a record and change nothing, so one lost reply rarely matters.
const CLAIMS_AT_ONCE: usize = 2;

/// Something that happens to the connections of one server.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Lasts for a while.
    Lasting(Fault),
    /// Closes all connections.
    Cut,
    /// Resets all connections.
    Reset,
    /// Closes one direction of all connections.
    HalfClose(Direction),
    /// Loses the reply to the next statement or COMMIT.
    Swallow(Reply, AfterSwallow),
}

/// Which reply is lost.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Commit,
    Any,
    OfClaim,
    OfTakeover,
    OfStore,
    OfHandler,
}

/// Troubles the connections of the server in one place, most of the time.
pub(crate) async fn disturb(
    arena: Arc<Arena>,
    behind: Arc<Behind>,
    slot: usize,
    seed: u64,
) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let proxy = &behind.proxies[slot];
    loop {
        let pause = Duration::from_millis(rng.u64(200..2_000));
        let trouble = Trouble::draw(&mut rng);
        let lasting = Duration::from_millis(rng.u64(200..2_000));
        rest(&arena, pause).await;
        if arena.is_over() {
            return Ok(());
        }
        let from = Moment::now();
        trouble.begin(proxy);
        if let Trouble::Lasting(fault) = trouble {
            rest(&arena, lasting).await;
            // A connection that has lost bytes makes no sense any more.
            if matches!(fault, Fault::BlackHole(_)) {
                proxy.cut();
            }
            proxy.clear();
        }
        let kind = FaultKind::Store(format!("{trouble:?}"));
        arena.fleet.note(kind, Whom::Place(slot), from);
    }
}

impl Trouble {
    fn draw(rng: &mut Rng) -> Self {
        let directions = [Direction::ToServer, Direction::ToClient, Direction::Both];
        let direction = directions[rng.usize(..directions.len())];
        let after = if rng.u32(..3) == 0 {
            AfterSwallow::Hang
        } else {
            AfterSwallow::Cut
        };
        // What may still be under way when its sender has given up must arrive soon,
        // or nobody could say when a lease ends.
        let delay = Duration::from_millis(rng.u64(10..400));
        let bytes_per_second = rng.u64(4_000..40_000);
        let bytes = rng.u64(1..4_000);
        match rng.u32(..24) {
            0 | 1 => Self::Lasting(Fault::Delay(delay)),
            2 => Self::Lasting(Fault::Bandwidth(bytes_per_second)),
            3 | 4 => Self::Lasting(Fault::BlackHole(direction)),
            5 => Self::Lasting(Fault::Refuse),
            6 => Self::Lasting(Fault::CutAfter(bytes)),
            7 => Self::Cut,
            8 => Self::Reset,
            9 => Self::HalfClose(direction),
            10 | 11 => Self::Swallow(Reply::Commit, after),
            12 => Self::Swallow(Reply::Any, after),
            13 => Self::Swallow(Reply::OfStore, after),
            14..=18 => Self::Swallow(Reply::OfClaim, after),
            19..=22 => Self::Swallow(Reply::OfTakeover, after),
            _ => Self::Swallow(Reply::OfHandler, after),
        }
    }

    fn begin(self, proxy: &FaultProxy) {
        match self {
            Self::Lasting(fault) => proxy.set(fault),
            Self::Cut => proxy.cut(),
            Self::Reset => proxy.reset(),
            Self::HalfClose(direction) => proxy.half_close(direction),
            Self::Swallow(reply, after) => {
                proxy.after_swallow(after);
                match reply {
                    Reply::Commit => proxy.swallow_next_commit_reply(),
                    Reply::Any => proxy.swallow_next_reply(),
                    // Claims alone make records.
                    Reply::OfClaim => {
                        for _ in 0..CLAIMS_AT_ONCE {
                            proxy.swallow_next_reply_to("ON CONFLICT");
                        }
                    }
                    // Nothing else counts attempts.
                    Reply::OfTakeover => proxy.swallow_next_reply_to("attempt + 1"),
                    Reply::OfStore => proxy.swallow_next_reply_to("idempotency_keys"),
                    Reply::OfHandler => proxy.swallow_next_reply_to("chaos_effects"),
                }
            }
        }
    }
}

//! One contender under load for some seconds.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{Cpu, Database, RunningServer, Sample, sample::Used};
use crate::load::{Control, Generator, Key, Keys, Outcome, Span, uuid};

/// What the requests are like.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Each has a key that nobody has used.
    Fresh,
    /// Each has a key that has been answered.
    Replays,
    /// None has a key.
    Unkeyed,
}

/// How many keys are answered before replays are measured.
const PREPARED: usize = 1000;
const CREATED: u16 = 201;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) workload: Workload,
    /// Whether a replay has to say that it is one: who keeps nothing replays nothing.
    pub(crate) marks_replays: bool,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
    /// Whether a checkpoint belongs to what is measured, or makes it worthless.
    pub(crate) may_meet_checkpoint: bool,
}

/// Readings, each with the number of requests so far: on a busy machine they are late, and not
/// all at once.
struct Meters {
    server: (u64, Cpu),
    postgres: (u64, Cpu),
    log: (u64, u64),
    checkpoint: String,
}

/// Runs the load, and fails if any answer is not what it has to be.
pub(crate) fn measure(
    server: &RunningServer,
    database: &mut Database,
    load: Load,
) -> Result<Sample> {
    let keys = match load.workload {
        Workload::Fresh => Keys::Fresh,
        Workload::Unkeyed => Keys::None,
        Workload::Replays => Keys::Replayed(prepare(server)?),
    };
    let replayed = load.workload == Workload::Replays && load.marks_replays;
    let generator = Generator::connect(server.address, load.connections, keys, CREATED, replayed)?;
    let from = Instant::now() + load.warm_up;
    let to = from + load.time;
    let control = Arc::new(Control::default());
    let shared = Arc::clone(&control);
    let running = thread::spawn(move || generator.run(Span { from, to }, &shared));
    sleep_until(from);
    let before = Meters::read(server, database, &control)?;
    sleep_until(to);
    let after = Meters::read(server, database, &control);
    // The load goes on until all is read.
    control.stop.store(true, Ordering::Relaxed);
    let outcome = running
        .join()
        .map_err(|_| anyhow!("the load generator panicked"))??;
    check(&outcome)?;
    let after = after?;
    if before.checkpoint != after.checkpoint && !load.may_meet_checkpoint {
        bail!("a checkpoint fell into the round");
    }
    Ok(before.until(&after, outcome, load.time))
}

/// Has keys answered, and returns them.
fn prepare(server: &RunningServer) -> Result<Arc<Vec<Key>>> {
    let mut random = fastrand::Rng::new();
    let keys: Vec<_> = (0..PREPARED).map(|_| uuid(&mut random)).collect();
    let keys = Arc::new(keys);
    let once = Keys::Once(Arc::clone(&keys));
    let generator = Generator::connect(server.address, 32, once, CREATED, false)?;
    let from = Instant::now();
    let to = from + Duration::from_secs(60);
    let outcome = generator.run(Span { from, to }, &Control::default())?;
    check(&outcome).context("keys could not be prepared")?;
    Ok(keys)
}

fn check(outcome: &Outcome) -> Result<()> {
    if let Some(error) = &outcome.first_error {
        bail!("{} wrong answers, the first: {error}", outcome.errors);
    }
    if outcome.latencies.count() == 0 {
        bail!("nothing was answered in time");
    }
    Ok(())
}

impl Meters {
    fn read(server: &RunningServer, database: &mut Database, control: &Control) -> Result<Self> {
        let answered = || control.answered.load(Ordering::Relaxed);
        let pid = database.pid()?;
        let server = (answered(), Cpu::of(server.pid()));
        let postgres = (answered(), Cpu::of_family(pid));
        let (log, checkpoint) = database.position()?;
        Ok(Self {
            server,
            postgres,
            log: (answered(), log),
            checkpoint,
        })
    }

    fn until(&self, later: &Self, outcome: Outcome, time: Duration) -> Sample {
        let cpu = |from: &(u64, Cpu), to: &(u64, Cpu)| Used {
            requests: to.0 - from.0,
            amount: to.1.since(&from.1).as_secs_f64() * 1e6,
        };
        Sample {
            latencies: outcome.latencies,
            time,
            server: cpu(&self.server, &later.server),
            postgres: cpu(&self.postgres, &later.postgres),
            log: Used {
                requests: later.log.0 - self.log.0,
                amount: (later.log.1 - self.log.1) as f64,
            },
        }
    }
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

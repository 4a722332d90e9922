//! One contender under load for some seconds.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{Cpu, Database, RunningServer};
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

/// What was measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Round {
    pub(crate) requests: u64,
    /// Requests a second.
    pub(crate) rate: f64,
    /// Latencies, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// CPU time of the contender for each request, in microseconds.
    pub(crate) server_cpu: f64,
    /// CPU time of all of Postgres for each request, in microseconds.
    pub(crate) postgres_cpu: f64,
    /// Bytes of log for each request.
    pub(crate) wal: f64,
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
) -> Result<Round> {
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
    Ok(round(&outcome, load.time, &before, &after))
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

fn round(outcome: &Outcome, time: Duration, before: &Meters, after: &Meters) -> Round {
    let requests = outcome.latencies.count();
    let quantile = |part| outcome.latencies.quantile(part).as_secs_f64() * 1e6;
    let each = |total: f64, (from, to): (u64, u64)| total / (to - from).max(1) as f64;
    let cpu = |then: &(u64, Cpu), now: &(u64, Cpu)| {
        each(now.1.since(&then.1).as_secs_f64() * 1e6, (then.0, now.0))
    };
    let written = (after.log.1 - before.log.1) as f64;
    Round {
        requests,
        rate: requests as f64 / time.as_secs_f64(),
        p50: quantile(0.5),
        p99: quantile(0.99),
        p999: quantile(0.999),
        server_cpu: cpu(&before.server, &after.server),
        postgres_cpu: cpu(&before.postgres, &after.postgres),
        wal: each(written, (before.log.0, after.log.0)),
    }
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
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

//! How the Postgres store does on large tables, beside a floor, and while much is swept.

mod fill;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    arguments::Arguments,
    growth::fill::{Filler, Table},
    measure::{Database, Load, Programs, Round, RunningServer, Sample, Setup, Workload, measure},
};

/// What was measured on a table of one size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Point {
    pub(crate) millions: f64,
    /// How many bytes table and indexes take.
    pub(crate) bytes: u64,
    /// With nothing to sweep, right after a checkpoint: whatever page is written first is written
    /// to the log as a whole.
    pub(crate) quiet: Round,
    /// The same, after claims have gone on for a while without a checkpoint.
    #[serde(default)]
    pub(crate) settled: Option<Round>,
    /// While expired records are swept, until none is left. Only on the largest table.
    pub(crate) sweeping: Option<Round>,
    /// The part of that with the largest p99.
    #[serde(default)]
    pub(crate) sweeping_worst: Option<Round>,
    /// What the floor does on a table of as many records. Only on the smallest and the largest.
    #[serde(default)]
    pub(crate) floor: Option<Claims>,
    /// How many of them were swept in a second.
    pub(crate) swept: Option<f64>,
    /// How many seconds that took in all.
    #[serde(default)]
    pub(crate) swept_in: Option<f64>,
}

/// What a contender does on a table of one size, with nothing to sweep.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Claims {
    pub(crate) bytes: u64,
    pub(crate) quiet: Round,
    pub(crate) settled: Option<Round>,
}

const OURS: (&str, Table) = (
    "leased",
    Table {
        name: "idempotency_keys",
        status: "response_status",
    },
);
const FLOOR: (&str, Table) = (
    "batched-floor",
    Table {
        name: "batched",
        status: "status",
    },
);

const DATABASE: &str = "growth";
const CONNECTIONS: usize = 64;
const LONG_FROM_NOW: &str = "now() + interval '7 days'";
/// A sweep that is slower than this would go on for ever beside new records.
const LONGEST_SWEEP: Duration = Duration::from_secs(30 * 60);
/// What table, indexes and their log take for a million records, at the most.
const BYTES_PER_MILLION: u64 = 650_000_000;
/// What has to stay free for the log, sorting, and everybody else.
const RESERVE: u64 = 12_000_000_000;

/// Fills the table step by step, and measures claims at each.
pub(crate) fn measure_all(
    arguments: &Arguments,
    programs: &Programs,
    database: &mut Database,
) -> Result<Vec<Point>> {
    let mut sizes = arguments.growth.clone();
    sizes.sort_by(f64::total_cmp);
    let Some(&largest) = sizes.last() else {
        return Ok(Vec::new());
    };
    check_room(database.folder(), largest + arguments.expired)?;
    let mut points = measure_ours(&sizes, arguments, programs, database)?;
    if let [first, .., last] = &mut points[..] {
        // Two tables of this size may be more than the disk has room for.
        measure_floor([first, last], arguments, programs, database)?;
    }
    Ok(points)
}

fn measure_ours(
    sizes: &[f64],
    arguments: &Arguments,
    programs: &Programs,
    database: &mut Database,
) -> Result<Vec<Point>> {
    let (contender, table) = OURS;
    let setup = setup(contender, arguments, database)?;
    let filler = begin(&setup, table, programs, database)?;
    let mut points = Vec::new();
    for &millions in sizes {
        let claims = claims(&setup, &filler, millions, arguments, programs, database)?;
        points.push(Point {
            millions,
            bytes: claims.bytes,
            quiet: claims.quiet,
            settled: claims.settled,
            sweeping: None,
            sweeping_worst: None,
            floor: None,
            swept: None,
            swept_in: None,
        });
    }
    if let Some(last) = points.last_mut()
        && arguments.expired > 0.0
    {
        sweep(arguments, programs, database, &filler, &setup, last)?;
    }
    database.drop(DATABASE)?;
    Ok(points)
}

/// Measures the same with a contender that does no more than it must.
fn measure_floor(
    points: [&mut Point; 2],
    arguments: &Arguments,
    programs: &Programs,
    database: &mut Database,
) -> Result<()> {
    let (contender, table) = FLOOR;
    let setup = setup(contender, arguments, database)?;
    let filler = begin(&setup, table, programs, database)?;
    for point in points {
        let claims = claims(
            &setup,
            &filler,
            point.millions,
            arguments,
            programs,
            database,
        )?;
        point.floor = Some(claims);
    }
    database.drop(DATABASE)
}

fn setup(
    contender: &'static str,
    arguments: &Arguments,
    database: &mut Database,
) -> Result<Setup<'static>> {
    Ok(Setup {
        name: contender,
        database_url: database.fresh(DATABASE)?,
        file: arguments.data_dir.join("unused"),
        pool: 10,
        body_bytes: 200,
        sweep_ms: Some(1000),
    })
}

/// Makes the table, and a record after whose image all others are made.
fn begin(
    setup: &Setup<'_>,
    table: Table,
    programs: &Programs,
    database: &mut Database,
) -> Result<Filler> {
    let server = RunningServer::start(&programs.ours, setup)?;
    turn(&server, database, Duration::from_millis(100))?;
    drop(server);
    Filler::new(database, DATABASE, table)
}

/// Fills the table, and measures claims right after a checkpoint and a while after it.
fn claims(
    setup: &Setup<'_>,
    filler: &Filler,
    millions: f64,
    arguments: &Arguments,
    programs: &Programs,
    database: &mut Database,
) -> Result<Claims> {
    let contender = setup.name;
    eprintln!("== claims of {contender} on a table of {millions} million records");
    filler.fill(database, millions, LONG_FROM_NOW)?;
    let server = RunningServer::start(&programs.ours, setup)?;
    let quiet = quiet_turn(&server, database, arguments)?;
    let settled = settled_turn(&server, database, arguments)?;
    drop(server);
    let bytes = filler.bytes(database)?;
    Ok(Claims {
        bytes,
        quiet,
        settled,
    })
}

/// Measures claims while expired records are swept, turn by turn until none is left.
///
/// Dead rows are vacuumed meanwhile, and checkpoints come when they are due, as they do in service.
fn sweep(
    arguments: &Arguments,
    programs: &Programs,
    database: &mut Database,
    filler: &Filler,
    setup: &Setup<'_>,
    point: &mut Point,
) -> Result<()> {
    eprintln!(
        "== claims while {} million expired records are swept",
        arguments.expired
    );
    let total = filler.count(database)? as f64 / 1e6 + arguments.expired;
    filler.fill(database, total, "now() - interval '1 minute'")?;
    filler.vacuum_in_the_background(database)?;
    let server = RunningServer::start(&programs.ours, setup)?;
    let expired = filler.expired(database)?;
    let begun = Instant::now();
    let load = load(arguments.time() * 4, true);
    let mut left = expired;
    let mut whole = Sample::default();
    while left > 0 {
        let part = measure(&server, database, load)?;
        whole += &part;
        let part = part.round();
        describe("sweeping", &part);
        let worst = point.sweeping_worst.as_ref().map_or(0.0, |worst| worst.p99);
        if part.p99 > worst {
            point.sweeping_worst = Some(part);
        }
        point.sweeping = Some(whole.round());
        left = filler.expired(database)?;
        if left == expired {
            bail!("nothing was swept");
        }
        let taken = begun.elapsed();
        let rate = (expired - left) as f64 / taken.as_secs_f64();
        eprintln!(
            "   {left} left, {rate:.0} swept a second, {:.0} s left",
            left as f64 / rate
        );
        if taken > LONGEST_SWEEP {
            bail!("{left} of {expired} records were not swept within {LONGEST_SWEEP:?}");
        }
        point.swept = Some(rate);
        point.swept_in = Some(taken.as_secs_f64());
    }
    Ok(())
}

fn quiet_turn(
    server: &RunningServer,
    database: &mut Database,
    arguments: &Arguments,
) -> Result<Round> {
    median_turn(arguments, "claims", || {
        database.checkpoint()?;
        turn(server, database, arguments.time())
    })
}

fn settled_turn(
    server: &RunningServer,
    database: &mut Database,
    arguments: &Arguments,
) -> Result<Option<Round>> {
    let Some(settle) = arguments.settle() else {
        return Ok(None);
    };
    database.defer_checkpoints(true)?;
    database.checkpoint()?;
    describe("settling", &turn(server, database, settle)?);
    let settled = median_turn(arguments, "settled", || {
        turn(server, database, arguments.time())
    })?;
    database.defer_checkpoints(false)?;
    Ok(Some(settled))
}

/// Takes as many turns as there are rounds, and returns the one with the median rate.
fn median_turn(
    arguments: &Arguments,
    what: &str,
    mut turn: impl FnMut() -> Result<Round>,
) -> Result<Round> {
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds() {
        let round = turn()?;
        describe(what, &round);
        rounds.push(round);
    }
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    Ok(rounds.swap_remove(rounds.len() / 2))
}

/// Measures claims, and fails if a checkpoint falls into the turn.
fn turn(server: &RunningServer, database: &mut Database, time: Duration) -> Result<Round> {
    let may_meet_checkpoint = false;
    Ok(measure(server, database, load(time, may_meet_checkpoint))?.round())
}

const fn load(time: Duration, may_meet_checkpoint: bool) -> Load {
    Load {
        workload: Workload::Fresh,
        marks_replays: true,
        connections: CONNECTIONS,
        warm_up: Duration::from_millis(500),
        time,
        may_meet_checkpoint,
    }
}

fn describe(what: &str, round: &Round) {
    eprintln!(
        "   {what}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, CPU us {:.1} + {:.1} Postgres",
        round.rate,
        round.p50 / 1e3,
        round.p99 / 1e3,
        round.server_cpu,
        round.postgres_cpu,
    );
}

/// Refuses to fill the disk of somebody who did not expect it.
fn check_room(folder: &Path, millions: f64) -> Result<()> {
    let output = Command::new("df").arg("-Pk").arg(folder).output()?;
    let output = String::from_utf8(output.stdout)?;
    let line = output.lines().nth(1).context("df says nothing")?;
    let free = line.split_whitespace().nth(3).context("df says little")?;
    let free = free.parse::<u64>()? * 1024;
    let needed = (millions * BYTES_PER_MILLION as f64) as u64 + RESERVE;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    eprintln!(
        "growth to {millions} million records takes up to {:.0} GB; {:.0} GB are free",
        gigabytes(needed),
        gigabytes(free)
    );
    if free < needed {
        bail!("there is too little room for a table of that size");
    }
    Ok(())
}

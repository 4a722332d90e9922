//! All contenders of a suite at one number of connections, in turns.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, entry::Entry};
use crate::{
    arguments::Arguments,
    measure::{Load, Round},
    series::Series,
    suite::Suite,
};

/// How many short turns stand for each long one, where small differences count.
const FINE: usize = 8;

/// Returns how many turns a suite takes.
pub(crate) fn turns(suite: &Suite, arguments: &Arguments) -> usize {
    let contenders = suite.contenders.iter().map(|name| {
        let tuned = Entry::new(name, suite).tuned && arguments.pools().len() > 1;
        rounds(suite, arguments) + if tuned { arguments.pools().len() } else { 0 }
    });
    contenders.sum::<usize>() * suite.connections.len()
}

fn rounds(suite: &Suite, arguments: &Arguments) -> usize {
    let turns = if arguments.quick { 2 } else { FINE };
    arguments.rounds() * if suite.fine { turns } else { 1 }
}

impl Bench<'_> {
    pub(crate) fn point(
        &mut self,
        suite: &Suite,
        connections: usize,
        flush: Duration,
    ) -> Result<Vec<Series>> {
        let mut entries = Vec::new();
        for name in &suite.contenders {
            let mut entry = Entry::new(name, suite);
            let mut series = empty(suite, name, connections, flush);
            if let Err(error) = self.prepare(&mut entry, suite, &mut series) {
                self.give_up(&mut series, &error);
            }
            entries.push((entry, series));
        }
        for _ in 0..rounds(suite, self.arguments) {
            for (entry, series) in &mut entries {
                if series.error.is_some() {
                    continue;
                }
                match self.turn(entry, suite, series) {
                    Ok(round) => series.rounds.push(round),
                    Err(error) => self.give_up(series, &error),
                }
            }
        }
        for (entry, _) in &mut entries {
            entry.tear_down(self)?;
        }
        Ok(entries.into_iter().map(|(_, series)| series).collect())
    }

    /// Finds the best pool, and starts the server with it.
    fn prepare(&mut self, entry: &mut Entry<'_>, suite: &Suite, series: &mut Series) -> Result<()> {
        let pools = self.arguments.pools().to_vec();
        let mut best = (0.0, pools.first().copied().unwrap_or(10));
        if entry.tuned && pools.len() > 1 {
            for pool in pools {
                entry.set_up(self, pool)?;
                series.pool = Some(pool);
                let round = self.turn(entry, suite, series)?;
                if round.rate > best.0 {
                    best = (round.rate, pool);
                }
            }
        }
        series.pool = entry.tuned.then_some(best.1);
        entry.set_up(self, best.1)
    }

    fn turn(&mut self, entry: &mut Entry<'_>, suite: &Suite, series: &Series) -> Result<Round> {
        let time = self.arguments.time();
        let load = Load {
            workload: suite.workload,
            marks_replays: !entry.keeps_nothing(),
            connections: series.connections,
            warm_up: self.arguments.warm_up(),
            time: if suite.fine { time / 4 } else { time },
            may_meet_checkpoint: false,
        };
        let pool = series.pool.unwrap_or(10);
        let round = entry.turn(self, load, pool).with_context(|| {
            let connections = series.connections;
            format!("{}, {} at {connections}", suite.name, entry.name)
        })?;
        self.progress.turn(&describe(series, &round));
        Ok(round)
    }

    fn give_up(&mut self, series: &mut Series, error: &anyhow::Error) {
        let why = format!("{error:#}");
        self.progress.turn(&format!("INVALID: {why}"));
        series.error = Some(why);
    }
}

fn describe(series: &Series, round: &Round) -> String {
    let pool = series
        .pool
        .map_or_else(String::new, |pool| format!(" (pool {pool})"));
    format!(
        "{}{pool} at {}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, CPU us {:.1} + {:.1} Postgres, \
         {:.0} B of log",
        series.contender,
        series.connections,
        round.rate,
        round.p50 / 1e3,
        round.p99 / 1e3,
        round.server_cpu,
        round.postgres_cpu,
        round.wal,
    )
}

fn empty(suite: &Suite, name: &str, connections: usize, flush: Duration) -> Series {
    Series {
        suite: suite.name.to_owned(),
        medium: suite.medium,
        workload: suite.workload,
        body_bytes: suite.body_bytes,
        connections,
        contender: name.to_owned(),
        pool: None,
        fdatasync: flush.as_secs_f64() * 1e6,
        rounds: Vec::new(),
        error: None,
    }
}

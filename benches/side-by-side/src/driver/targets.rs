//! What the project promises, and whether this run shows it.

use std::fmt;

use crate::growth::Point;
use crate::measure::Round;
use crate::series::{Results, Series, median};

/// What a value has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) wanted: Wanted,
    /// `None` if the run did not measure it.
    pub(crate) measured: Option<f64>,
}

impl Target {
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.measured.map(|measured| match self.wanted {
            Wanted::AtLeast(least) => measured >= least,
            Wanted::AtMost(most) => measured <= most,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(measured) = self.measured else {
            return write!(f, "target {} not measured", self.name);
        };
        let verdict = if self.is_met() == Some(true) {
            "ok"
        } else {
            "short"
        };
        let name = self.name;
        write!(
            f,
            "target {name} measured {measured:.2} wanted {} {verdict}",
            self.wanted
        )
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">={least}"),
            Self::AtMost(most) => write!(f, "<={most}"),
        }
    }
}

/// Judges a run.
pub(crate) fn all(results: &Results) -> Vec<Target> {
    let rate = |round: &Round| round.rate;
    let fresh = |peer, at| ratio(results, "fresh", "leased", peer, at, rate);
    let mut targets = vec![
        least(
            "fresh-64-vs-select-insert-update",
            7.0,
            fresh("select-insert-update", 64),
        ),
        least(
            "fresh-256-vs-select-insert-update",
            10.0,
            fresh("select-insert-update", 256),
        ),
        least(
            "fresh-1024-vs-select-insert-update",
            12.0,
            fresh("select-insert-update", 1024),
        ),
        least("fresh-64-vs-insert-update", 5.0, fresh("insert-update", 64)),
        least(
            "fresh-64-vs-pgbench-insert-update",
            3.0,
            fresh("pgbench-insert-update", 64),
        ),
        least("business-64-vs-zero-to-production", 1.5, business(results)),
    ];
    targets.extend(latencies(results));
    targets.extend(replays(results));
    targets.extend(costs(results));
    targets.push(least("growth-50-million", 0.8, growth(results)));
    targets
}

/// The better of the two ways to keep a response with the handler's own row.
fn business(results: &Results) -> Option<f64> {
    let rate = |round: &Round| round.rate;
    ["fenced", "transactional"]
        .into_iter()
        .filter_map(|ours| ratio(results, "business", ours, "zero-to-production", 64, rate))
        .reduce(f64::max)
}

fn latencies(results: &Results) -> [Target; 2] {
    let against = |at, value: fn(&Round) -> f64| {
        ratio(results, "fresh", "leased", "insert-update", at, value)
    };
    [
        most("p50-1-vs-insert-update", 1.1, against(1, |round| round.p50)),
        most(
            "p99-64-vs-insert-update",
            0.25,
            against(64, |round| round.p99),
        ),
    ]
}

fn replays(results: &Results) -> [Target; 2] {
    let rate = |round: &Round| round.rate;
    let replays = |ours, theirs| ratio(results, "replays", ours, theirs, 64, rate);
    [
        least("replays-cached-64-vs-bare", 0.6, replays("leased", "bare")),
        least(
            "replays-uncached-64-vs-select",
            3.0,
            replays("leased-uncached", "select-insert-update"),
        ),
    ]
}

fn costs(results: &Results) -> [Target; 6] {
    let rate = |round: &Round| round.rate;
    let cpu = |round: &Round| round.server_cpu;
    let postgres = results.find("fresh", "leased", 64);
    let postgres = postgres.map(|series| series.median(|round| round.postgres_cpu));
    let peers = |value| against_peers(results, value);
    let unkeyed = |value: fn(&Round) -> f64| ratio(results, "unkeyed", "memory", "bare", 64, value);
    [
        most("postgres-cpu-64-us", 40.0, postgres),
        most("unkeyed-cpu-vs-bare", 1.02, unkeyed(cpu)),
        least("unkeyed-rate-vs-bare", 0.98, unkeyed(rate)),
        most("memory-cpu-over-bare-us", 5.0, over_bare(results)),
        // The peer that comes nearest counts.
        least(
            "memory-vs-best-peer",
            1.0,
            peers(rate).into_iter().reduce(f64::min),
        ),
        most(
            "memory-cpu-vs-best-peer",
            1.0,
            peers(cpu).into_iter().reduce(f64::max),
        ),
    ]
}

fn over_bare(results: &Results) -> Option<f64> {
    let memory = results.find("memory", "memory", 64)?;
    let bare = results.find("memory", "bare", 64)?;
    let cpu = |round: &Round| round.server_cpu;
    Some(pairs(memory, bare, cpu, |memory, bare| memory - bare))
}

/// Compares with each of the other projects.
fn against_peers(results: &Results, value: fn(&Round) -> f64) -> Vec<f64> {
    let Some(memory) = results.find("memory", "memory", 64) else {
        return Vec::new();
    };
    let peers = results.series.iter().filter(|series| {
        series.suite == "memory"
            && series.error.is_none()
            && side_by_side::find(&series.contender).is_none()
    });
    let ratio = |peer| pairs(memory, peer, value, |ours, theirs| ours / theirs);
    peers.map(ratio).collect()
}

fn growth(results: &Results) -> Option<f64> {
    let of = |millions: f64| {
        let is_it = |point: &&Point| (point.millions - millions).abs() < 0.001;
        Some(results.growth.iter().find(is_it)?.quiet.rate)
    };
    Some(of(50.0)? / of(0.0)?)
}

fn ratio(
    results: &Results,
    suite: &str,
    ours: &str,
    theirs: &str,
    connections: usize,
    value: impl Fn(&Round) -> f64,
) -> Option<f64> {
    let ours = results.find(suite, ours, connections)?;
    let theirs = results.find(suite, theirs, connections)?;
    Some(pairs(ours, theirs, value, |ours, theirs| ours / theirs))
}

/// Compares turns that came one after the other, so that a slow minute meets both.
fn pairs(
    ours: &Series,
    theirs: &Series,
    value: impl Fn(&Round) -> f64,
    compare: impl Fn(f64, f64) -> f64,
) -> f64 {
    let both = ours.rounds.iter().zip(&theirs.rounds);
    median(
        both.map(|(ours, theirs)| compare(value(ours), value(theirs)))
            .collect(),
    )
}

const fn least(name: &'static str, least: f64, measured: Option<f64>) -> Target {
    let wanted = Wanted::AtLeast(least);
    Target {
        name,
        wanted,
        measured,
    }
}

const fn most(name: &'static str, most: f64, measured: Option<f64>) -> Target {
    let wanted = Wanted::AtMost(most);
    Target {
        name,
        wanted,
        measured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_what_was_wanted_and_whether_it_is_there() {
        let line = |target: Target| target.to_string();
        assert_eq!(
            line(least("fast", 7.0, Some(7.5))),
            "target fast measured 7.50 wanted >=7 ok"
        );
        assert_eq!(
            line(most("small", 0.25, Some(0.3))),
            "target small measured 0.30 wanted <=0.25 short"
        );
        assert_eq!(line(least("gone", 1.0, None)), "target gone not measured");
    }

    #[test]
    fn nothing_is_judged_that_was_not_measured() {
        let targets = all(&Results::default());
        assert!(targets.iter().all(|target| target.is_met().is_none()));
    }
}

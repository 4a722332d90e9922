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
    /// What a contender gets there that does no more than it must, and promises nothing.
    pub(crate) floor: Option<f64>,
}

impl Target {
    const fn floor(mut self, floor: Option<f64>) -> Self {
        self.floor = floor;
        self
    }

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
    let mut targets = fresh(results);
    targets.push(business(results));
    targets.extend(latencies(results));
    targets.extend(replays(results));
    targets.push(postgres_cpu(results));
    targets.extend(unkeyed(results));
    targets.extend(memory(results));
    targets.extend(growth(results));
    targets
}

fn fresh(results: &Results) -> Vec<Target> {
    let target = |name, wanted, peer, at| {
        let against = |one| ratio(results, "fresh", one, peer, at, |round| round.rate);
        least(name, wanted, against("leased")).floor(against("batched-floor"))
    };
    let slowest = "select-insert-update";
    vec![
        target("fresh-64-vs-select-insert-update", 7.0, slowest, 64),
        target("fresh-256-vs-select-insert-update", 10.0, slowest, 256),
        target("fresh-1024-vs-select-insert-update", 12.0, slowest, 1024),
        target("fresh-64-vs-insert-update", 5.0, "insert-update", 64),
        target(
            "fresh-64-vs-pgbench-insert-update",
            3.0,
            "pgbench-insert-update",
            64,
        ),
    ]
}

/// The best of the three ways to keep a response with the handler's own row.
fn business(results: &Results) -> Target {
    let against = |one| {
        let rate = |round: &Round| round.rate;
        ratio(results, "business", one, "zero-to-production", 64, rate)
    };
    let ours = ["fenced", "fenced-effect", "transactional"]
        .into_iter()
        .filter_map(against);
    let best = ours.reduce(f64::max);
    least("business-64-vs-zero-to-production", 1.5, best)
}

fn latencies(results: &Results) -> [Target; 2] {
    let target = |name, wanted, at, value: fn(&Round) -> f64| {
        let against = |one| ratio(results, "fresh", one, "insert-update", at, value);
        most(name, wanted, against("leased")).floor(against("batched-floor"))
    };
    [
        target("p50-1-vs-insert-update", 1.1, 1, |round| round.p50),
        target("p99-64-vs-insert-update", 0.25, 64, |round| round.p99),
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

fn postgres_cpu(results: &Results) -> Target {
    let of = |contender| {
        let series = results.find("fresh", contender, 64)?;
        Some(series.median(|round| round.postgres_cpu))
    };
    most("postgres-cpu-64-us", 40.0, of("leased")).floor(of("batched-floor"))
}

fn unkeyed(results: &Results) -> [Target; 2] {
    let against = |one, value: fn(&Round) -> f64| ratio(results, "unkeyed", one, "bare", 64, value);
    let cpu = |round: &Round| round.server_cpu;
    let rate = |round: &Round| round.rate;
    [
        most("unkeyed-cpu-vs-bare", 1.02, against("memory", cpu))
            .floor(against("no-op-layer", cpu)),
        least("unkeyed-rate-vs-bare", 0.98, against("memory", rate))
            .floor(against("no-op-layer", rate)),
    ]
}

fn memory(results: &Results) -> [Target; 3] {
    let peers = |value| against_peers(results, value);
    // The peer that comes nearest counts.
    let rate = peers(|round| round.rate).into_iter().reduce(f64::min);
    let cpu = peers(|round| round.server_cpu).into_iter().reduce(f64::max);
    [
        most("memory-cpu-over-bare-us", 5.0, over_bare(results, "memory"))
            .floor(over_bare(results, "memory-floor")),
        least("memory-vs-best-peer", 1.0, rate),
        most("memory-cpu-vs-best-peer", 1.0, cpu),
    ]
}

fn over_bare(results: &Results, contender: &str) -> Option<f64> {
    let memory = results.find("memory", contender, 64)?;
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

/// Large tables, a while after a checkpoint and right after it, and while they are swept.
fn growth(results: &Results) -> [Target; 3] {
    let find = |millions: f64| {
        let is_it = |point: &&Point| (point.millions - millions).abs() < 0.001;
        results.growth.iter().find(is_it)
    };
    let (large, empty) = (find(50.0), find(0.0));
    let against = |rate: fn(&Point) -> Option<f64>| Some(rate(large?)? / rate(empty?)?);
    let settled = against(|point| Some(point.settled.as_ref()?.rate));
    let quiet = against(|point| Some(point.quiet.rate));
    let settled_floor = against(|point| Some(point.floor.as_ref()?.settled.as_ref()?.rate));
    let quiet_floor = against(|point| Some(point.floor.as_ref()?.quiet.rate));
    let sweeping = large.and_then(|point| Some(point.sweeping.as_ref()?.p99 / point.quiet.p99));
    [
        least("growth-50-million", 0.8, settled).floor(settled_floor),
        least("growth-50-million-after-checkpoint", 0.8, quiet).floor(quiet_floor),
        most("p99-while-sweeping-50-million", 2.0, sweeping),
    ]
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
        floor: None,
    }
}

const fn most(name: &'static str, most: f64, measured: Option<f64>) -> Target {
    let wanted = Wanted::AtMost(most);
    Target {
        name,
        wanted,
        measured,
        floor: None,
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

//! Which plots there are.

use super::plot::{Line, Scale, bars, lines};
use crate::growth::Point;
use crate::measure::Round;
use crate::series::{Results, Series};

/// Returns the names and contents of all files for which there are results.
pub(crate) fn all(results: &Results) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for suite in ["fresh", "tmpfs"] {
        let place = if suite == "fresh" { "disk" } else { "memory" };
        let rate = format!("Requests a second with fresh keys, Postgres on {place}");
        let p99 = format!("99th percentile of latency with fresh keys, Postgres on {place}");
        let below = "over the number of connections; more is better";
        let plot = over_connections(results, suite, &rate, below, Scale::FromZero, |r| r.rate);
        files.extend(plot.map(|svg| (format!("{suite}-rate.svg"), svg)));
        let below = "milliseconds, over the number of connections; less is better";
        let scale = Scale::Logarithmic;
        let plot = over_connections(results, suite, &p99, below, scale, |r| r.p99 / 1e3);
        files.extend(plot.map(|svg| (format!("{suite}-p99.svg"), svg)));
    }
    for (suite, title) in [
        ("replays", "Replays a second"),
        (
            "memory",
            "Requests a second with fresh keys, records in memory",
        ),
        (
            "business",
            "Requests a second, each with a row of the handler's own",
        ),
    ] {
        files.extend(side_by_side(results, suite, title).map(|svg| (format!("{suite}.svg"), svg)));
    }
    files.extend(growth(results));
    files
}

fn over_connections(
    results: &Results,
    suite: &str,
    title: &str,
    below: &str,
    scale: Scale,
    value: impl Fn(&Round) -> f64 + Copy,
) -> Option<String> {
    // Those without a database are of another kind, and would flatten all others.
    let shown = |series: &&Series| {
        let durable = !["bare", "memory", "sqlite"].contains(&series.contender.as_str());
        series.suite == suite && series.error.is_none() && durable
    };
    let series: Vec<_> = results.series.iter().filter(shown).collect();
    let mut connections: Vec<_> = series.iter().map(|each| each.connections).collect();
    connections.sort_unstable();
    connections.dedup();
    if connections.len() < 2 {
        return None;
    }
    let mut all: Vec<Line> = Vec::new();
    for each in &series {
        if all.iter().any(|line| line.name == each.contender) {
            continue;
        }
        let at = |count: &usize| {
            let found = results.find(suite, &each.contender, *count)?;
            Some(found.median(value)).filter(|value| *value > 0.0)
        };
        let name = each.contender.clone();
        let values: Vec<_> = connections.iter().map(at).collect();
        if values.iter().any(Option::is_some) {
            all.push(Line { name, values });
        }
    }
    let places: Vec<_> = connections.iter().map(ToString::to_string).collect();
    Some(lines(title, below, scale, &places, &all))
}

fn side_by_side(results: &Results, suite: &str, title: &str) -> Option<String> {
    const AT: usize = 64;
    let here = |series: &&Series| {
        series.suite == suite && series.connections == AT && series.error.is_none()
    };
    let bar = |series: &Series| {
        let design = [
            "bare",
            "business-transaction",
            "business-insert",
            "select-insert-update",
            "insert-update",
            "zero-to-production",
        ];
        let name = series.contender.as_str();
        let known = side_by_side::find(name).is_some();
        let ours = known && !design.contains(&name) && !name.ends_with("-floor");
        (
            series.contender.clone(),
            series.median(|round| round.rate),
            ours,
        )
    };
    let all: Vec<_> = results.series.iter().filter(here).map(bar).collect();
    let below = "at 64 connections; more is better; blue: this project";
    (!all.is_empty()).then(|| bars(title, below, &all))
}

fn growth(results: &Results) -> Option<(String, String)> {
    if results.growth.len() < 2 {
        return None;
    }
    let places: Vec<_> = results
        .growth
        .iter()
        .map(|point| format!("{} M", point.millions))
        .collect();
    let line = |name: &str, value: &dyn Fn(&Point) -> Option<f64>| Line {
        name: name.to_owned(),
        values: results.growth.iter().map(value).collect(),
    };
    let all = [
        line("right after a checkpoint", &|point| Some(point.quiet.rate)),
        line("a while after a checkpoint", &|point| {
            point.settled.as_ref().map(|round| round.rate)
        }),
        line("sweeping", &|point| {
            point.sweeping.as_ref().map(|round| round.rate)
        }),
    ];
    let svg = lines(
        "Requests a second with fresh keys, over the size of the table",
        "at 64 connections, over millions of records; more is better",
        Scale::FromZero,
        &places,
        &all,
    );
    Some(("growth.svg".to_owned(), svg))
}

//! A table for each suite.

use std::fmt::Write;

use crate::{
    series::{Results, Series},
    suite,
    targets::{self, Target},
};

pub(crate) fn tables(results: &Results) -> String {
    let mut text = machine(results);
    for suite in suite::all(&[]) {
        if let Some(table) = suite_table(results, suite.name) {
            let (title, bytes) = (suite.title, suite.body_bytes);
            let _ = writeln!(text, "\n### {title}, responses of {bytes} bytes\n\n{table}");
        }
    }
    if let Some(table) = growth_table(results) {
        let _ = writeln!(text, "\n### Large tables, 64 connections\n\n{table}");
    }
    let _ = writeln!(text, "\n### Targets\n\n{}", targets(&targets::all(results)));
    text
}

/// Returns the table of a suite, if it was measured.
pub(crate) fn suite_table(results: &Results, suite: &str) -> Option<String> {
    let series = results.series.iter().filter(|each| each.suite == suite);
    let mut series: Vec<_> = series.collect();
    // Those of another run came later.
    series.sort_by_key(|each| each.connections);
    (!series.is_empty()).then(|| table(&series))
}

/// Returns the table of the sizes of tables, if they were measured.
pub(crate) fn growth_table(results: &Results) -> Option<String> {
    let mut text = String::from(
        "| Records | Table and indexes | Load | Requests/s | p50 ms | p99 ms | Postgres CPU µs \
         | WAL B |\n|--:|--:|:--|--:|--:|--:|--:|--:|\n",
    );
    for point in &results.growth {
        let sweeping = point.sweeping.as_ref();
        let mut swept = format!(
            "sweeping {} a second",
            thousands(point.swept.unwrap_or(0.0))
        );
        if let Some(seconds) = point.swept_in {
            let _ = write!(swept, ", done in {seconds:.0} s");
        }
        let (after, later) = ("right after a checkpoint", "a while after it");
        let mut rounds = vec![
            (point.bytes, after.to_owned(), Some(&point.quiet)),
            (point.bytes, later.to_owned(), point.settled.as_ref()),
        ];
        if let Some(floor) = &point.floor {
            let load = |when| format!("`batched-floor` {when}");
            rounds.push((floor.bytes, load(after), Some(&floor.quiet)));
            rounds.push((floor.bytes, load(later), floor.settled.as_ref()));
        }
        let worst = "the worst part of that".to_owned();
        rounds.push((point.bytes, swept, sweeping));
        rounds.push((point.bytes, worst, point.sweeping_worst.as_ref()));
        for (bytes, load, round) in rounds {
            let Some(round) = round else { continue };
            let _ = writeln!(
                text,
                "| {} M | {:.1} GB | {load} | {} | {:.2} | {:.2} | {:.1} | {:.0} |",
                point.millions,
                bytes as f64 / 1e9,
                thousands(round.rate),
                round.p50 / 1e3,
                round.p99 / 1e3,
                round.postgres_cpu,
                round.wal,
            );
        }
    }
    (!results.growth.is_empty()).then_some(text)
}

pub(crate) fn targets(targets: &[Target]) -> String {
    let mut text =
        String::from("| Target | Measured | Floor | Wanted | |\n|:--|--:|--:|--:|:--|\n");
    for target in targets {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.2}"));
        let (measured, floor) = (number(target.measured), number(target.floor));
        let verdict = match target.is_met() {
            Some(true) => "ok",
            Some(false) => "short",
            None => "not measured",
        };
        let (name, wanted) = (target.name, target.wanted);
        let _ = writeln!(
            text,
            "| {name} | {measured} | {floor} | {wanted} | {verdict} |"
        );
    }
    text
}

pub(crate) fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let settings: Vec<_> = results
        .settings
        .iter()
        .map(|(name, value)| format!("`{name}={value}`"))
        .collect();
    format!(
        "{}, {} cores, {} GiB, Linux {}, Postgres {} ({})\n\nCommand: `cargo xtask bench {}`\n",
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.postgres,
        settings.join(", "),
        results.command,
    )
}

fn table(series: &[&Series]) -> String {
    let mut text = String::from(
        "| Connections | Contender | Pool | Requests/s | p50 ms | p99 ms | p99.9 ms \
         | Server CPU µs | Postgres CPU µs | WAL B | fdatasync ms |\n\
         |--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for each in series {
        let pool = each.pool.map_or_else(String::new, |pool| pool.to_string());
        let _ = write!(
            text,
            "| {} | {} | {pool} ",
            each.connections, each.contender
        );
        if let Some(error) = &each.error {
            let _ = writeln!(text, "| invalid: {error} |||||||");
            continue;
        }
        let _ = writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.0} | {:.2} |",
            thousands(each.median(|round| round.rate)),
            each.median(|round| round.p50) / 1e3,
            each.median(|round| round.p99) / 1e3,
            each.median(|round| round.p999) / 1e3,
            each.median(|round| round.server_cpu),
            each.median(|round| round.postgres_cpu),
            each.median(|round| round.wal),
            each.fdatasync / 1e3,
        );
    }
    text
}

/// Writes a whole number with commas.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_commas() {
        assert_eq!(thousands(7.0), "7");
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(123_456.0), "123,456");
    }
}

//! A table for each suite.

use std::fmt::Write;

use crate::{
    series::{Results, Series},
    suite,
};

pub(crate) fn tables(results: &Results) -> String {
    let mut text = machine(results);
    for suite in suite::all(&[]) {
        let series = results
            .series
            .iter()
            .filter(|each| each.suite == suite.name);
        let series: Vec<_> = series.collect();
        if let Some(first) = series.first() {
            let bytes = first.body_bytes;
            let _ = writeln!(text, "\n### {}, responses of {bytes} bytes\n", suite.title);
            text.push_str(&table(&series));
        }
    }
    text
}

fn machine(results: &Results) -> String {
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

//! A Postgres server that counts the instructions of each of its processes.

use std::{env::temp_dir, fs};

use anyhow::{Context, Result};
use throwaway_postgres::{Binaries, Mode, Server};

const COUNTED: &str =
    "valgrind -q --tool=callgrind --trace-children=yes --callgrind-out-file=counts.%p";
/// Nothing is done in the background that would be counted.
const SETTINGS: [(&str, &str); 5] = [
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1d"),
    ("max_wal_size", "4GB"),
    ("bgwriter_delay", "10s"),
    ("wal_writer_delay", "10s"),
];

pub(crate) struct CountedServer(Server);

impl CountedServer {
    pub(crate) fn start(binaries: &Binaries) -> Result<Self> {
        let server = Server::start_under(binaries, &temp_dir(), &SETTINGS, COUNTED)?;
        Ok(Self(server))
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// Stops the server, and returns the count of its busiest process.
    pub(crate) fn count(&self) -> Result<u64> {
        self.0.stop(Mode::Fast)?;
        let mut busiest = None;
        for file in fs::read_dir(self.0.folder())? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("counts.") {
                busiest = busiest.max(total(&fs::read_to_string(file.path())?));
            }
        }
        busiest.context("no process of the server has left a count")
    }
}

/// Reads what callgrind writes at the end of a file.
fn total(counts: &str) -> Option<u64> {
    let totals = counts
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:"));
    totals?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_the_end() {
        let counts = "version: 1\nsummary: 12\n\nfn=(1)\n0 5\n\ntotals: 123456\n";
        assert_eq!(total(counts), Some(123_456));
        assert_eq!(total("version: 1\n"), None);
    }
}

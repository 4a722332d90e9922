use std::{path::PathBuf, time::Duration};

use clap::Parser;

/// Measures this project's layer beside other designs, all on this machine and in one run.
///
/// Every contender is a process of its own, with the same axum, sqlx and tokio. They take turns
/// (A B C A B C ...) and the median of their rounds counts. Any wrong answer makes a contender's
/// result invalid.
///
/// A full run takes about 40 minutes; close everything else meanwhile.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo xtask bench")]
pub(crate) struct Arguments {
    /// Measures everything for a moment: shows that it works, and nothing else.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Runs these suites only; `--list` names them.
    #[arg(long, value_name = "SUITE", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Measures these contenders only; `--list` names them.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) contenders: Vec<String>,

    /// Lists suites and contenders.
    #[arg(long)]
    pub(crate) list: bool,

    /// The numbers of connections, where a suite does not ask for certain ones.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) connections: Vec<usize>,

    /// How often each contender has its turn. Default: 5, quick 1.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,

    /// How long each turn is, without half a second before it. Default: 4, quick 0.5.
    #[arg(long)]
    pub(crate) seconds: Option<f64>,

    /// The sizes of the pools among which each contender that has one gets its best.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10, 32, 64])]
    pub(crate) pools: Vec<u32>,

    /// Fills the table up to each of these sizes, in millions of records, and measures claims
    /// there, and those of the floor on the smallest and the largest: `0,1,10,50`. It needs 0.65 GB
    /// of disk for each million, and 12 GB beside.
    #[arg(long, value_name = "MILLIONS", value_delimiter = ',')]
    pub(crate) growth: Vec<f64>,

    /// How many millions of expired records are swept from the largest of these tables, to the end.
    #[arg(long, value_name = "MILLIONS", default_value_t = 10.0)]
    pub(crate) expired: f64,

    /// For how many seconds claims go on at each of these sizes before they are measured once
    /// more, with most pages written since the checkpoint; 0 leaves that out. Default: 60, quick 1.
    #[arg(long)]
    pub(crate) settle: Option<f64>,

    /// Writes the results into docs/performance.md, too.
    #[arg(long)]
    pub(crate) write_docs: bool,

    /// Measures nothing, and reads the results of earlier runs; of two for the same, the last
    /// counts.
    #[arg(long, value_name = "JSON", value_delimiter = ',')]
    pub(crate) read: Vec<PathBuf>,

    /// Where the results are written.
    #[arg(long, value_name = "DIR", default_value = "target/bench/results")]
    pub(crate) out: PathBuf,

    /// Where Postgres and SQLite keep their data: on the disk that is to be measured.
    #[arg(long, value_name = "DIR", default_value = "target/bench/data")]
    pub(crate) data_dir: PathBuf,

    /// A folder in memory, for the comparison without a disk.
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub(crate) memory_dir: PathBuf,

    /// The program with the other projects' layers.
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) peers: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 }).max(1)
    }

    pub(crate) fn time(&self) -> Duration {
        let usual = if self.quick { 0.5 } else { 4.0 };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual).clamp(0.1, 600.0))
    }

    /// `None` if nobody wants to wait for it.
    pub(crate) fn settle(&self) -> Option<Duration> {
        let usual = if self.quick { 1.0 } else { 60.0 };
        let seconds = self.settle.unwrap_or(usual).clamp(0.0, 3600.0);
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 200 } else { 500 })
    }

    /// Which connections a suite is measured with.
    pub(crate) fn connections(&self, usual: &[usize]) -> Vec<usize> {
        if !self.connections.is_empty() {
            return self.connections.clone();
        }
        let quick = |count: &&usize| !self.quick || **count == 64 || usual.len() == 1;
        usual.iter().filter(quick).copied().collect()
    }

    /// The sizes of pools that are tried.
    pub(crate) fn pools(&self) -> &[u32] {
        match self.pools.as_slice() {
            [] => &[10],
            [_, .., last] if self.quick => std::slice::from_ref(last),
            pools => pools,
        }
    }
}

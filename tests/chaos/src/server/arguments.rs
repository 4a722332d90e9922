//! The command line.

use std::{path::PathBuf, time::Duration};

use chaos::{Mode, Sabotage};
use clap::Parser;

/// One server process of a chaos run.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// `sqlite:PATH`, or a `postgres://` URL.
    #[arg(long)]
    pub(crate) store: String,
    /// The level of guarantee that the handlers ask for.
    #[arg(long)]
    pub(crate) mode: Mode,
    /// Where to write down what happens.
    #[arg(long)]
    pub(crate) journal: PathBuf,
    /// Who this is, for the answers.
    #[arg(long)]
    pub(crate) name: String,
    /// The length of a lease.
    #[arg(long, value_parser = milliseconds)]
    pub(crate) lease_ms: Duration,
    /// The store's bound for each verb.
    #[arg(long, value_parser = milliseconds)]
    pub(crate) operation_timeout_ms: Duration,
    /// Lets claims be committed without waiting for the disk.
    #[arg(long)]
    pub(crate) relaxed_claims: bool,
    /// Switches a guard off.
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

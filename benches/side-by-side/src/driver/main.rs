//! Measures the contenders beside each other; `cargo xtask bench` builds and runs it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program talks to the person who runs it"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and times are far from the bounds of their types"
)]

mod arguments;
mod growth;
mod load;
mod measure;
mod progress;
mod report;
mod run;
mod series;
mod suite;
mod targets;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::arguments::Arguments;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let results = run::all(&arguments)?;
    let complete = results.series.iter().all(|series| series.error.is_none());
    report::write(&results, &arguments)?;
    Ok(ExitCode::from(u8::from(!complete)))
}

//! `cargo xtask chaos`.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    dependencies::metadata,
    step::{cargo, run, step},
};

/// Every mode, on every store.
const RUNS: [(&str, &str, u32, &[&str]); 7] = [
    ("leased", "postgres", 60, &[]),
    ("fenced", "postgres", 60, &[]),
    ("fenced", "postgres", 60, &["--relaxed-claims"]),
    ("transactional", "postgres", 60, &[]),
    ("leased", "sqlite", 15, &[]),
    ("fenced", "sqlite", 15, &[]),
    ("transactional", "sqlite", 15, &[]),
];

/// Every guard that can be left out, and a mode in which that must be noticed.
const SABOTAGES: [(&str, &str); 5] = [
    ("complete-fence", "leased"),
    ("renew-fence", "leased"),
    ("token-recognition", "leased"),
    ("in-transaction-check", "fenced"),
    ("in-transaction-check", "transactional"),
];

#[derive(Args)]
pub(crate) struct Options {
    /// Arguments for the run; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the programs and becomes the one that runs the other.
pub(crate) fn run_chaos(options: &Options) -> Result<()> {
    let program = step("build", build)?;
    let mut chaos = Command::new(program);
    // Its exit code and its signals are then those of this command.
    Err(chaos.args(&options.arguments).exec()).context("cannot run chaos")
}

/// Runs every mode for a while, and every sabotage, which must be noticed.
pub(crate) fn check() -> Result<()> {
    let program = step("build chaos", build)?;
    for (mode, store, seconds, more) in RUNS {
        let named = [&["chaos,", mode, store], more].concat().join(" ");
        step(&named, || {
            run(chaos(&program, mode, store, seconds).args(more))
        })?;
    }
    for (guard, mode) in SABOTAGES {
        step(&format!("chaos without {guard}, {mode}"), || {
            if !is_noticed(&program, guard, mode)? && !is_noticed(&program, guard, mode)? {
                bail!("chaos has not noticed that a guard was missing");
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Tells whether a run without a guard ends with a violation.
///
/// What it takes to need the guard has to happen first, and once in a while a minute is too short.
fn is_noticed(program: &Path, guard: &str, mode: &str) -> Result<bool> {
    let mut run = chaos(program, mode, "postgres", 60);
    let status = run.args(["--sabotage", guard]).status()?;
    match status.code() {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => bail!("chaos could not run: {status}"),
    }
}

fn chaos(program: &Path, mode: &str, store: &str, seconds: u32) -> Command {
    let mut chaos = Command::new(program);
    chaos.args(["--mode", mode, "--store", store]);
    chaos.args(["--seconds", &seconds.to_string()]);
    chaos
}

/// Builds both programs, and returns the path of the one to run.
fn build() -> Result<PathBuf> {
    run(cargo().args(["build", "--quiet", "--locked", "-p", "chaos", "--bins"]))?;
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str();
    let target = Path::new(target.context("target_directory")?);
    Ok(target.join("debug").join("chaos"))
}

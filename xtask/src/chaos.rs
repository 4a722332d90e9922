//! `cargo xtask chaos`.

use std::{os::unix::process::CommandExt, path::Path, process::Command};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    dependencies::metadata,
    step::{cargo, run, step},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Arguments for the run; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the programs and becomes the one that runs the other.
pub(crate) fn run_chaos(options: &Options) -> Result<()> {
    step("build", || {
        run(cargo().args(["build", "--quiet", "--locked", "-p", "chaos", "--bins"]))
    })?;
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str();
    let target = Path::new(target.context("target_directory")?);
    let mut chaos = Command::new(target.join("debug").join("chaos"));
    // Its exit code and its signals are then those of this command.
    Err(chaos.args(&options.arguments).exec()).context("cannot run chaos")
}

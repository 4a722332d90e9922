//! `cargo xtask bench`.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    dependencies::metadata,
    step::{cargo, root, run, step},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Arguments for the run; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the programs and becomes the one that measures the others.
pub(crate) fn run_bench(options: &Options) -> Result<()> {
    let program = step("build", build)?;
    let mut bench = Command::new(program);
    if let Some(peers) = build_peers(options) {
        bench.arg("--peers").arg(peers);
    }
    // Its exit code and its signals are then those of this command.
    Err(bench.args(&options.arguments).exec()).context("cannot run the benchmarks")
}

fn build() -> Result<PathBuf> {
    run(cargo().args([
        "build",
        "--quiet",
        "--locked",
        "--release",
        "-p",
        "side-by-side",
    ]))?;
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str();
    let target = Path::new(target.context("target_directory")?);
    Ok(target.join("release").join("side-by-side"))
}

/// Builds the other projects' layers, which have a workspace of their own.
///
/// Without them the rest can still be measured.
fn build_peers(options: &Options) -> Option<PathBuf> {
    let folder = root().join("benches").join("peers");
    let help = |argument: &String| argument == "--help" || argument == "-h";
    if !folder.exists() || options.arguments.iter().any(help) {
        return None;
    }
    let target = root().join("target").join("peers");
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked", "--release"]);
    build.arg("--target-dir").arg(&target).current_dir(folder);
    match step("build other projects' layers", || run(&mut build)) {
        Ok(()) => Some(target.join("release").join("peers")),
        Err(error) => {
            println!("\n!!! OTHER PROJECTS' LAYERS ARE LEFT OUT: {error:#}\n");
            None
        }
    }
}

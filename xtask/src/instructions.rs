//! Counts the instructions and allocations of each path, and compares them with a baseline.

mod baseline;

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use self::baseline::{Baseline, Cost};
use crate::step::{cargo, output, root, run, step};

/// Two numbers of iterations: their difference has neither the start nor the end in it.
const FEW: u64 = 1_000;
const MANY: u64 = 3_000;

/// What glibc may find in any processor of the last fifteen years; it picks its copy loops by it.
const PLAIN_PROCESSOR: &str = "glibc.cpu.hwcaps=-AVX2,-AVX,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-EVEX,-BMI2,-LZCNT,-MOVBE,-RTM";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Writes what was counted into the baseline instead of comparing it.
    #[arg(long)]
    update: bool,
    /// Counts only the paths whose name has this in it, and compares only them.
    #[arg(long, default_value = "", conflicts_with = "update")]
    only: String,
    /// Counts what batches cost a Postgres server, and compares nothing: that is another number
    /// for each version and build of the server. Takes a minute.
    #[arg(long, conflicts_with_all = ["update", "only"])]
    server: bool,
}

/// Counts, then compares or writes.
pub(crate) fn run_counts(options: &Options) -> Result<()> {
    if !has_valgrind() {
        bail!(
            "valgrind is not there, so NOTHING WAS COUNTED and nothing compared: \
             install it (apt-get install valgrind) and run this again"
        );
    }
    if options.server {
        return server();
    }
    step("build", build)?;
    let allocations = step("allocations", || output(&mut program("allocations")))?;
    let names = output(&mut program("hot-path"))?;
    let mut counted = Baseline::new(rustc()?);
    for name in names.lines().filter(|name| name.contains(&options.only)) {
        let cost = Cost {
            instructions: instructions(name)?,
            allocations: allocations_of(&allocations, name)?,
        };
        println!("{name:<24} {cost}");
        counted.insert(name, cost);
    }
    if options.update {
        return counted.write();
    }
    counted.compare(&Baseline::read()?)
}

fn has_valgrind() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Builds with a SHA-256 that uses no instructions of the processor's own: callgrind knows only
/// some of them, and other machines may have others.
fn build() -> Result<()> {
    run(cargo()
        .args(["build", "--quiet", "--locked", "--profile", "bench"])
        .args(["-p", "micro-benchmarks", "--bins", "--features", "portable"]))
}

fn server() -> Result<()> {
    let binary = ["-p", "side-by-side", "--bin", "server-instructions"];
    run(cargo()
        .args(["run", "--quiet", "--locked", "--release"])
        .args(binary))
}

fn program(name: &str) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    Command::new(target.join("release").join(name))
}

fn rustc() -> Result<String> {
    let version = output(Command::new("rustc").arg("--version"))?;
    Ok(version.trim().to_owned())
}

fn instructions(name: &str) -> Result<u64> {
    let (few, many) = (count(name, FEW)?, count(name, MANY)?);
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// Runs a path under callgrind and reads the total from what it prints at its end.
fn count(name: &str, iterations: u64) -> Result<u64> {
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program("hot-path").get_program())
        .args([name, &iterations.to_string()])
        .env("GLIBC_TUNABLES", PLAIN_PROCESSOR)
        .output()
        .context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&counted.stderr);
    if !counted.status.success() {
        bail!("callgrind failed on {name}: {said}");
    }
    let total = said.lines().find_map(|line| {
        let (_, total) = line.split_once("Collected : ")?;
        total.trim().parse().ok()
    });
    total.with_context(|| format!("callgrind printed no total for {name}: {said}"))
}

fn allocations_of(table: &str, name: &str) -> Result<f64> {
    let line = table
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.with_context(|| format!("nobody counted the allocations of {name}"))
}

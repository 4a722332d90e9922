//! The project's own commands.

#![expect(
    clippy::print_stdout,
    reason = "this program talks to the person who runs it"
)]

mod bench;
mod bounded;
mod browser;
mod chaos;
mod ci;
mod dependencies;
mod features;
mod house;
mod instructions;
mod licence;
mod step;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tests and checks tower-idempotency.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs every test, on Postgres servers that are started for it and removed after it.
    ///
    /// Uses `DATABASE_URL` if it is set; otherwise finds a Postgres (`PG_BIN`, PATH, the system's),
    /// or installs one (apt, pip, npm), and starts a throw-away server on a free port.
    /// Needs nothing but Rust, and leaves no process, and no file outside of target/.
    Test(test::Options),
    /// Kills, pauses and cuts off servers under load, and checks that every guarantee holds.
    #[command(disable_help_flag = true)]
    Chaos(chaos::Options),
    /// Counts what each path of the layer costs, and compares it with the committed baseline.
    ///
    /// Counts are those of valgrind's callgrind, so the machine's load does not change them.
    Instructions(instructions::Options),
    /// Measures the layer beside other designs, other projects' layers, and what Postgres can do.
    #[command(disable_help_flag = true)]
    Bench(bench::Options),
    /// Tests the browser client in Node, and in Chromium with the pages of the examples.
    ///
    /// Takes Node, npm and Chromium (or what `CHROMIUM` names) where they are, and installs them
    /// where this is root and there is apt. Says `SKIPPED` loudly for what it cannot run, and fails
    /// then if `REQUIRE_BROWSER=1`.
    Browser,
    /// Runs what CI runs: formatting, lints, documentation, features, rules, and all tests.
    Ci,
}

fn main() -> Result<()> {
    std::env::set_current_dir(step::root())?;
    match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Chaos(options) => chaos::run_chaos(&options),
        Command::Instructions(options) => instructions::run_counts(&options),
        Command::Bench(options) => bench::run_bench(&options),
        Command::Browser => {
            let skipped = browser::check(browser::Examples::Build)?;
            skipped.iter().for_each(browser::Skipped::announce);
            Ok(())
        }
        Command::Ci => ci::run_checks(),
    }
}

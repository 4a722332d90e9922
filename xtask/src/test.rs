//! `cargo xtask test`.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use clap::Args;
use throwaway_postgres::{Binaries, Server};

use crate::step::{self, cargo, root, step};

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Runs against this major version of Postgres, and fetches it if it is not installed.
    #[arg(long, value_name = "MAJOR")]
    postgres: Option<u32>,

    /// Arguments for `cargo test`, instead of `--workspace`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Options {
    pub(crate) fn on_postgres(major: u32, packages: &[&str]) -> Self {
        let packages = packages.iter().flat_map(|name| ["-p", name]);
        Self {
            postgres: Some(major),
            arguments: packages.map(str::to_owned).collect(),
        }
    }
}

/// Starts what the tests need, runs them, and removes it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let temporary = temporary_folder()?;
    provide_faketime();
    let (server, url, binaries) = database(options)?;
    let mut tests = cargo();
    tests.args(["test", "--locked", "--all-features", "--no-fail-fast"]);
    if options.arguments.is_empty() {
        tests.arg("--workspace");
    }
    tests.args(&options.arguments);
    tests.env("TEST_DATABASE_URL", &url);
    tests.env("TMPDIR", &temporary);
    tests.env_remove("DATABASE_URL");
    if let Some(binaries) = &binaries {
        tests.env("PG_BIN", binaries.folder());
    }
    let tested = step("tests", || step::run(&mut tests));
    drop(server);
    let _ = fs::remove_dir_all(&temporary);
    tested
}

/// Installs what shifts a process's clock, where that is possible; its one test says so otherwise.
fn provide_faketime() {
    let runs = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !runs("faketime", &["--version"]) {
        println!("==> install faketime, with which one test shifts a server's clock");
        let installed = runs("apt-get", &["install", "-y", "faketime"])
            || runs("apt-get", &["update"]) && runs("apt-get", &["install", "-y", "faketime"]);
        println!("    {}", if installed { "ok" } else { "not possible here" });
    }
}

/// A folder for everything that tests leave, inside of target/.
pub(crate) fn temporary_folder() -> Result<PathBuf> {
    let folder = root()
        .join("target")
        .join("tmp")
        .join(std::process::id().to_string());
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Postgres may have to run as another user, who has to get in.
    let open = Command::new("chmod").arg("a+rwx").arg(&folder).status();
    open.context("cannot run chmod")?;
    Ok(folder)
}

/// Finds or starts the server that the tests share.
fn database(options: &Options) -> Result<(Option<Server>, String, Option<Binaries>)> {
    let cache = root().join("target").join("postgres");
    let given = std::env::var("DATABASE_URL").ok();
    if let (Some(url), None) = (given, options.postgres) {
        println!("==> tests use the server of DATABASE_URL");
        // Tests that stop and kill servers need one of their own.
        let binaries = step("find Postgres programs", || Binaries::provide(None, &cache))?;
        return Ok((None, url, Some(binaries)));
    }
    let binaries = step("find Postgres", || {
        Binaries::provide(options.postgres, &cache)
    })?;
    let (major, folder) = (binaries.major(), binaries.folder().display());
    let server = step(&format!("start Postgres {major} of {folder}"), || {
        Server::start(&binaries, &root().join("target").join("tmp"))
    })?;
    let url = server.url();
    Ok((Some(server), url, Some(binaries)))
}

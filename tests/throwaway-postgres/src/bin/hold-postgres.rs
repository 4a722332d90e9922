//! Starts a server and holds it until it is killed: for the test of what is left then.

#![expect(clippy::print_stdout, reason = "the test reads what to look for")]

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use throwaway_postgres::{Binaries, Server};

fn main() -> Result<()> {
    let binaries = Binaries::find(Path::new("target/postgres")).context("no Postgres")?;
    let server = Server::start(&binaries, &std::env::temp_dir())?;
    println!("{} {}", server.pid()?, server.folder().display());
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

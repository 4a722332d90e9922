//! Starts a server and a pooler and holds them until it is killed: for the test of what is left.

#![expect(clippy::print_stdout, reason = "the test reads what to look for")]

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use throwaway_postgres::{Binaries, PgBouncer, PgBouncerProgram, Server};

fn main() -> Result<()> {
    let binaries = Binaries::find(Path::new("target/postgres")).context("no Postgres")?;
    let server = Server::start(&binaries, &std::env::temp_dir())?;
    println!("{} {}", server.pid()?, server.folder().display());
    let program = PgBouncerProgram::find(Path::new("target/pgbouncer"));
    let upstream = ([127, 0, 0, 1], server.port()).into();
    let pooler = program.map(|program| PgBouncer::start(&program, &std::env::temp_dir(), upstream));
    let pooler = pooler.transpose()?;
    match &pooler {
        Some(pooler) => println!("{} {}", pooler.pid()?, pooler.folder().display()),
        None => println!(),
    }
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

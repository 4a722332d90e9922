//! Counts the instructions that a Postgres server takes for the store's batches, under callgrind:
//! unlike a time, they are nearly the same on a machine that has other things to do.

#![expect(clippy::print_stdout, reason = "the counts are its output")]

mod counted_server;
mod rounds;

use anyhow::{Context, Result};
use throwaway_postgres::Binaries;

use crate::{counted_server::CountedServer, rounds::run};

/// How many claims go together, and as many completions with them.
const SIZES: [usize; 3] = [1, 16, 32];
/// Two numbers of rounds: their difference has neither the start nor the end in it.
const FEW: usize = 50;
const MANY: usize = 150;

fn main() -> Result<()> {
    let cache = std::env::temp_dir().join("throwaway-postgres");
    let binaries = Binaries::find(&cache)
        .context("there is no Postgres: install one, or name its programs' folder in PG_BIN")?;
    for size in SIZES {
        let count = |rounds| -> Result<u64> {
            let server = CountedServer::start(&binaries)?;
            run(&server.url(), size, rounds)?;
            server.count()
        };
        let both = count(MANY)?.saturating_sub(count(FEW)?);
        let each = both / (MANY - FEW) as u64;
        println!("a batch of {size} claims and {size} completions: {each} instructions");
    }
    Ok(())
}

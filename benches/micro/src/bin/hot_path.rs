//! Runs one path so many times, for callgrind: `hot-path fresh-key 1000`.
//!
//! Without arguments it lists the paths.

#![expect(clippy::print_stdout, reason = "the list is for a program to read")]

use anyhow::Context;
use micro_benchmarks::{Bench, Path};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for path in Path::ALL {
            println!("{}", path.name());
        }
        return Ok(());
    };
    let path = Path::named(&name).with_context(|| format!("there is no path {name}"))?;
    let iterations = arguments.next().context("how many times?")?.parse()?;
    Bench::new()?.run(path, iterations);
    Ok(())
}

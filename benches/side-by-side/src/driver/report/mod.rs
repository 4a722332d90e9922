//! What is left of a run: tables, plots, and all numbers.

mod docs;
mod markdown;
mod plot;
mod plots;

use std::fs;

use anyhow::Result;

use crate::{arguments::Arguments, series::Results, targets};

/// Writes everything into the folder that was asked for.
pub(crate) fn write(results: &Results, arguments: &Arguments) -> Result<()> {
    if results.series.is_empty() && results.growth.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&arguments.out)?;
    let tables = markdown::tables(results);
    println!("{tables}");
    fs::write(arguments.out.join("results.md"), tables)?;
    let json = serde_json::to_string_pretty(results)?;
    fs::write(arguments.out.join("results.json"), json)?;
    for (name, svg) in plots::all(results) {
        fs::write(arguments.out.join(name), svg)?;
    }
    println!("written to {}", arguments.out.display());
    if arguments.write_docs {
        docs::write(results)?;
    }
    for target in targets::all(results) {
        println!("{target}");
    }
    Ok(())
}

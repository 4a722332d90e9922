//! What is left of a run: tables, plots, and all numbers.

mod markdown;

use std::fs;

use anyhow::Result;

use crate::{arguments::Arguments, series::Results};

/// Writes everything into the folder that was asked for.
pub(crate) fn write(results: &Results, arguments: &Arguments) -> Result<()> {
    if results.series.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&arguments.out)?;
    let tables = markdown::tables(results);
    println!("{tables}");
    fs::write(arguments.out.join("results.md"), tables)?;
    let json = serde_json::to_string_pretty(results)?;
    fs::write(arguments.out.join("results.json"), json)?;
    println!("written to {}", arguments.out.display());
    Ok(())
}

//! The whole run: one suite after the other, on a server for each medium.

mod entry;
mod point;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use throwaway_postgres::Binaries;

use crate::{
    arguments::Arguments,
    growth,
    measure::{Database, Machine, Medium, Programs, SETTINGS, fdatasync},
    progress::Progress,
    series::Results,
    suite::{self, Suite},
};

/// What every turn needs.
pub(crate) struct Bench<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) programs: Programs,
    pub(crate) pgbench: PathBuf,
    pub(crate) database: Database,
    pub(crate) medium: Medium,
    pub(crate) progress: Progress,
}

/// Measures all that was asked for.
pub(crate) fn all(arguments: &Arguments) -> Result<Results> {
    if !arguments.read.is_empty() {
        return read(arguments);
    }
    let programs = programs(arguments)?;
    let peers = peers(&programs)?;
    let suites = suite::chosen(arguments, &peers);
    if arguments.list {
        list(&suites);
        return Ok(Results::default());
    }
    if suites.is_empty() && arguments.growth.is_empty() {
        bail!("there is nothing to measure; `--list` names suites and contenders");
    }
    let binaries = Binaries::provide(None, &PathBuf::from("target").join("postgres"))?;
    let mut results = Results {
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        settings: SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Results::default()
    };
    let total = suites
        .iter()
        .map(|suite| point::turns(suite, arguments))
        .sum();
    let mut progress = Some(Progress::new(total));
    for medium in [Medium::Disk, Medium::Tmpfs] {
        let here: Vec<_> = suites.iter().filter(|s| s.medium == medium).collect();
        let grows = medium == Medium::Disk && !arguments.growth.is_empty();
        let Some(begun) = progress.take_if(|_| grows || !here.is_empty()) else {
            continue;
        };
        let mut bench = Bench {
            arguments,
            programs: programs.clone(),
            pgbench: pgbench(&binaries),
            database: Database::start(&binaries, &std::path::absolute(folder(arguments, medium))?)?,
            medium,
            progress: begun,
        };
        bench.run(&here, &mut results)?;
        if grows {
            let (programs, database) = (&bench.programs, &mut bench.database);
            results.growth = growth::measure_all(arguments, programs, database)?;
        }
        progress = Some(bench.progress);
    }
    Ok(results)
}

/// Reads what earlier runs have written.
fn read(arguments: &Arguments) -> Result<Results> {
    let mut results = Results::default();
    for path in &arguments.read {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        results.merge(serde_json::from_str(&text)?);
    }
    Ok(results)
}

impl Bench<'_> {
    fn run(&mut self, suites: &[&Suite], results: &mut Results) -> Result<()> {
        results.machine = Machine::here(self.database.version()?);
        eprintln!(
            "Postgres {} on {} in {}: {}",
            results.machine.postgres,
            self.medium.name(),
            self.database.folder().display(),
            SETTINGS
                .map(|(name, value)| format!("{name}={value}"))
                .join(" "),
        );
        for suite in suites {
            for &connections in &suite.connections {
                let flush = fdatasync(self.data_folder())?;
                eprintln!(
                    "== {}, {connections} connections; flushing 8 KiB takes {:.2} ms",
                    suite.title,
                    flush.as_secs_f64() * 1e3
                );
                results
                    .series
                    .extend(self.point(suite, connections, flush)?);
            }
        }
        Ok(())
    }

    pub(crate) fn data_folder(&self) -> &std::path::Path {
        folder(self.arguments, self.medium)
    }
}

fn folder(arguments: &Arguments, medium: Medium) -> &std::path::Path {
    match medium {
        Medium::Disk => &arguments.data_dir,
        Medium::Tmpfs => &arguments.memory_dir,
    }
}

/// It is where the server's programs are, which `PATH` may only have links to.
fn pgbench(binaries: &Binaries) -> PathBuf {
    let server = binaries.folder().join("postgres");
    let server = server.canonicalize().unwrap_or(server);
    server.with_file_name("pgbench")
}

fn programs(arguments: &Arguments) -> Result<Programs> {
    let this = std::env::current_exe()?;
    let folder = this.parent().context("a program is in a folder")?;
    let ours = folder.join("contender");
    if !ours.exists() {
        bail!("{} is not there: run `cargo xtask bench`", ours.display());
    }
    Ok(Programs {
        ours,
        peers: arguments.peers.clone(),
    })
}

/// Asks the peers' program for their names.
fn peers(programs: &Programs) -> Result<Vec<String>> {
    let Some(program) = &programs.peers else {
        return Ok(Vec::new());
    };
    let output = Command::new(program).arg("--list").output()?;
    let names = String::from_utf8(output.stdout)?;
    Ok(names.lines().map(str::to_owned).collect())
}

fn list(suites: &[Suite]) {
    for suite in suites {
        println!("{:<10} {}", suite.name, suite.title);
        println!("           {}", suite.contenders.join(", "));
    }
    println!();
    for contender in side_by_side::CONTENDERS {
        println!("{:<22} {}", contender.name, contender.description);
    }
}

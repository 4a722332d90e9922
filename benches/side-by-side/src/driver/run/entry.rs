//! One contender of a suite, through all of its turns at one number of connections.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use side_by_side::Records;

use super::Bench;
use crate::{
    measure::{Floor, Load, Round, RunningServer, Setup, measure},
    suite::Suite,
};

pub(crate) struct Entry<'s> {
    pub(crate) name: &'s str,
    records: Records,
    pub(crate) tuned: bool,
    is_peer: bool,
    floor: Option<Floor>,
    body_bytes: usize,
    /// Lives through all turns, if its records are not in its memory.
    server: Option<RunningServer>,
}

impl<'s> Entry<'s> {
    pub(crate) fn new(name: &'s str, suite: &Suite) -> Self {
        let known = side_by_side::find(name);
        let floor = Floor::find(name);
        Self {
            name,
            records: known.map_or(Records::Memory, |contender| contender.records),
            tuned: known.is_some_and(|contender| contender.tuned),
            is_peer: known.is_none() && floor.is_none(),
            floor,
            body_bytes: suite.body_bytes,
            server: None,
        }
    }

    pub(crate) const fn keeps_nothing(&self) -> bool {
        matches!(self.records, Records::Nowhere)
    }

    /// Makes everything new, and starts the server.
    pub(crate) fn set_up(&mut self, bench: &mut Bench<'_>, pool: u32) -> Result<()> {
        self.server = None;
        if let Some(floor) = self.floor {
            return floor.set_up(&mut bench.database);
        }
        let mut setup = Setup {
            name: self.name,
            database_url: String::new(),
            file: self.file(bench)?,
            pool,
            body_bytes: self.body_bytes,
            sweep_ms: None,
        };
        match self.records {
            Records::Postgres => setup.database_url = bench.database.fresh(self.name)?,
            Records::Sqlite => {
                self.remove_file(bench)?;
                setup.file = self.file(bench)?;
            }
            _ => {}
        }
        let program = if self.is_peer {
            bench.programs.peers.as_ref().context("no such contender")?
        } else {
            &bench.programs.ours
        };
        self.server = Some(RunningServer::start(program, &setup)?);
        Ok(())
    }

    /// Has a turn, on empty tables.
    pub(crate) fn turn(&mut self, bench: &mut Bench<'_>, load: Load, pool: u32) -> Result<Round> {
        if self.floor.is_some() || self.records == Records::Postgres {
            bench.database.empty(self.name)?;
        } else if !self.keeps_nothing() {
            self.set_up(bench, pool)?;
        }
        bench.database.checkpoint()?;
        if let Some(floor) = self.floor {
            let (clients, time) = (load.connections, load.time);
            return floor.measure(&mut bench.database, &bench.pgbench, clients, time);
        }
        let server = self.server.as_ref().context("the contender runs")?;
        Ok(measure(server, &mut bench.database, load)?.round())
    }

    /// Ends the server, and removes its data.
    pub(crate) fn tear_down(&mut self, bench: &mut Bench<'_>) -> Result<()> {
        self.server = None;
        self.remove_file(bench)?;
        if self.floor.is_some() || self.records == Records::Postgres {
            bench.database.drop(self.name)?;
        }
        Ok(())
    }

    fn file(&self, bench: &Bench<'_>) -> Result<PathBuf> {
        let folder = bench.data_folder().join("sqlite");
        fs::create_dir_all(&folder)?;
        let name = format!("{}-{}.db", self.name, std::process::id());
        Ok(folder.join(name))
    }

    fn remove_file(&self, bench: &Bench<'_>) -> Result<()> {
        let file = self.file(bench)?;
        for end in ["", "-wal", "-shm"] {
            let mut path = file.clone().into_os_string();
            path.push(end);
            // It is not there before the first turn.
            let _ = fs::remove_file(path);
        }
        // Another run's files may be in it, too.
        if let Some(folder) = file.parent() {
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

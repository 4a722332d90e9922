//! The servers, each in a place of its own, where one process follows the other.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use chaos::{Fault, FaultKind, Life, Moment, ServerId, Whom};
use tokio::{
    process::Command,
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
};

use crate::{arguments::Arguments, folder, process::Process};

/// The library that shifts the wall clock of a process.
const FAKETIME: &str = "/usr/$LIB/faketime/libfaketime.so.1";
const FAKETIME_FOLDERS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib/faketime",
];

/// How long a server that stood still takes to find that its leases are gone.
const COMES_BACK: Duration = Duration::from_millis(600);

/// All servers.
#[derive(Debug)]
pub(crate) struct Fleet {
    slots: Vec<Slot>,
    launch: Launch,
    lives: Mutex<Vec<Life>>,
    faults: Mutex<Vec<Fault>>,
}

/// A place for one process after the other.
#[derive(Debug)]
struct Slot {
    index: usize,
    store: String,
    process: Arc<AsyncMutex<Running>>,
    /// For clients, who do not wait for a restart.
    target: RwLock<Option<(ServerId, SocketAddr)>>,
    is_paused: AtomicBool,
}

#[derive(Debug, Default)]
pub(crate) struct Running {
    generation: u32,
    process: Option<Process>,
}

/// How a server is started.
#[derive(Debug)]
struct Launch {
    program: PathBuf,
    folder: PathBuf,
    arguments: Arguments,
}

impl Fleet {
    /// Prepares a place for each of `stores`: what the server there takes for its store.
    pub(crate) fn new(arguments: &Arguments, folder: &Path, stores: Vec<String>) -> Result<Self> {
        let slots = stores.into_iter().enumerate().map(|(index, store)| Slot {
            index,
            store,
            process: Arc::default(),
            target: RwLock::default(),
            is_paused: AtomicBool::new(false),
        });
        Ok(Self {
            slots: slots.collect(),
            launch: Launch {
                program: folder::server_program()?,
                folder: folder.to_path_buf(),
                arguments: arguments.clone(),
            },
            lives: Mutex::default(),
            faults: Mutex::default(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Tells whether clocks can be shifted here.
    pub(crate) fn can_shift_clocks() -> bool {
        FAKETIME_FOLDERS
            .iter()
            .any(|folder| Path::new(folder).join("libfaketime.so.1").is_file())
    }

    /// Tells whether the server of a place stands still, or has just come back.
    pub(crate) fn is_paused(&self, slot: usize) -> bool {
        self.slots[slot].is_paused.load(Ordering::Relaxed)
    }

    /// Returns where the server of a place listens.
    pub(crate) fn target(&self, slot: usize) -> Option<(ServerId, SocketAddr)> {
        *self.slots[slot]
            .target
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a process in every place that has none, or one with a shifted clock.
    pub(crate) async fn make_whole(&self) -> Result<()> {
        for slot in 0..self.len() {
            let mut running = self.lock(slot).await;
            if let Some(process) = running.process.take_if(|process| process.is_shifted) {
                self.kill_process(slot, process).await?;
            }
            if running.process.is_none() {
                self.start(&mut running, slot, None).await?;
            }
        }
        Ok(())
    }

    /// Kills the server of a place and starts the next one, with its clock shifted or not.
    ///
    /// Returns at the server's end; `None` if none is there at the moment.
    pub(crate) async fn kill(
        self: &Arc<Self>,
        slot: usize,
        down: Duration,
        shift: Option<&'static str>,
    ) -> Result<Option<Moment>> {
        let Ok(mut running) = Arc::clone(&self.slots[slot].process).try_lock_owned() else {
            return Ok(None);
        };
        let Some(process) = running.process.take() else {
            return Ok(None);
        };
        let gone = self.kill_process(slot, process).await?;
        let fleet = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(down).await;
            if let Err(error) = fleet.start(&mut running, slot, shift).await {
                println!("a server could not be started again: {error:#}");
            }
        });
        Ok(Some(gone))
    }

    /// Stops the server of a place where it is, for a while, unless it is killed meanwhile.
    pub(crate) async fn pause(self: &Arc<Self>, slot: usize, pause: Duration) -> Result<bool> {
        let Some(id) = self.signal(slot, None, Process::pause).await? else {
            return Ok(false);
        };
        let from = Moment::now();
        let is_paused = &self.slots[slot].is_paused;
        is_paused.store(true, Ordering::Relaxed);
        tokio::time::sleep(pause).await;
        self.signal(slot, Some(id), Process::resume).await?;
        self.note(FaultKind::Pause, Whom::Process(id), from);
        let fleet = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(COMES_BACK).await;
            fleet.slots[slot].is_paused.store(false, Ordering::Relaxed);
        });
        Ok(true)
    }

    /// Notes a fault that ends now.
    pub(crate) fn note(&self, kind: FaultKind, whom: Whom, from: Moment) {
        let fault = Fault {
            kind,
            whom,
            from,
            to: Moment::now(),
        };
        lock(&self.faults).push(fault);
    }

    /// Ends every server that is left.
    pub(crate) async fn end(&self) -> Result<()> {
        for slot in 0..self.len() {
            let process = self.lock(slot).await.process.take();
            if let Some(process) = process {
                process.end().await?;
            }
        }
        Ok(())
    }

    pub(crate) fn lives(&self) -> Vec<Life> {
        lock(&self.lives).clone()
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        lock(&self.faults).clone()
    }

    /// Returns where a process writes its journal.
    pub(crate) fn journal(folder: &Path, id: ServerId) -> PathBuf {
        folder.join(format!("journal-{}-{}", id.slot, id.generation))
    }

    async fn lock(&self, slot: usize) -> OwnedMutexGuard<Running> {
        Arc::clone(&self.slots[slot].process).lock_owned().await
    }

    async fn signal(
        &self,
        slot: usize,
        only: Option<ServerId>,
        send: impl Fn(&Process) -> Result<()>,
    ) -> Result<Option<ServerId>> {
        let running = self.lock(slot).await;
        let process = running.process.as_ref();
        let process = process.filter(|process| only.is_none_or(|only| only == process.id));
        process
            .map(|process| send(process).map(|()| process.id))
            .transpose()
    }

    async fn kill_process(&self, slot: usize, process: Process) -> Result<Moment> {
        let id = process.id;
        let from = Moment::now();
        self.aim(slot, None);
        process.kill().await?;
        let gone = Moment::now();
        let mut lives = lock(&self.lives);
        for life in lives.iter_mut().filter(|life| life.server == id) {
            life.killed = Some(gone);
        }
        drop(lives);
        self.note(FaultKind::Kill, Whom::Process(id), from);
        Ok(gone)
    }

    async fn start(
        &self,
        running: &mut Running,
        slot: usize,
        shift: Option<&'static str>,
    ) -> Result<()> {
        running.generation += 1;
        let id = ServerId {
            slot,
            generation: running.generation,
        };
        let from = Moment::now();
        let life = Life {
            server: id,
            from,
            killed: None,
        };
        lock(&self.lives).push(life);
        let folder = &self.launch.folder;
        let log = folder.join(format!("log-{slot}"));
        let command = self.launch.command(&self.slots[slot], id, shift);
        let pids = folder.join("pids");
        let process = Process::start(id, command, &log, &pids, shift.is_some()).await;
        let process = process.with_context(|| format!("see {}", log.display()))?;
        if let Some(shift) = shift {
            self.note(FaultKind::ClockShift(shift), Whom::Process(id), from);
        }
        self.aim(slot, Some((id, process.address)));
        running.process = Some(process);
        Ok(())
    }

    fn aim(&self, slot: usize, target: Option<(ServerId, SocketAddr)>) {
        let place = &self.slots[slot].target;
        *place.write().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

impl Launch {
    fn command(&self, slot: &Slot, id: ServerId, shift: Option<&str>) -> Command {
        let arguments = &self.arguments;
        let mut command = Command::new(&self.program);
        command.arg("--store").arg(&slot.store);
        command.arg("--mode").arg(arguments.mode.to_string());
        command
            .arg("--journal")
            .arg(Fleet::journal(&self.folder, id));
        command
            .arg("--name")
            .arg(format!("{}.{}", slot.index, id.generation));
        command
            .arg("--lease-ms")
            .arg(arguments.lease_ms.to_string());
        let bound = arguments.operation_timeout().as_millis().to_string();
        command.arg("--operation-timeout-ms").arg(bound);
        if arguments.relaxed_claims {
            command.arg("--relaxed-claims");
        }
        if let Some(guard) = arguments.sabotage {
            command.arg("--sabotage").arg(guard.to_string());
        }
        if let Some(shift) = shift {
            // A wrong wall clock is what happens to machines; their monotonic clocks go on.
            command.env("LD_PRELOAD", FAKETIME);
            command.env("FAKETIME", shift);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }
}

/// What is behind these locks is changed in one step, so a panic leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

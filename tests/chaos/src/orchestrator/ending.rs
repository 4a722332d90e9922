//! Healing everything, and reading what was seen.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use chaos::{BODY_MARK, Gathered, History, KEY_MARK, Moment, ServerId, gather, read_journal};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    arena::Arena, arguments::Arguments, board::Operation, clients, database::Database, fleet::Fleet,
};

/// The client who finishes what the others gave up.
const LAST_CLIENT: usize = 9_999;
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST_BOUND: Duration = Duration::from_secs(10);

/// Sends every operation through healthy servers until there is a final answer.
///
/// Returns the keys that have none within the bound.
pub(crate) async fn finish(arena: &Arc<Arena>) -> Result<Vec<String>> {
    arena.fleet.make_whole().await?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut left = JoinSet::new();
    for (index, operation) in arena.board.all().into_iter().enumerate() {
        let place = Arc::clone(&places).acquire_owned().await?;
        let arena = Arc::clone(arena);
        left.spawn(async move {
            let slot = index % arena.fleet.len();
            let finished = finish_one(&arena, &operation, slot).await;
            drop(place);
            (!finished).then(|| operation.key.clone())
        });
    }
    Ok(left.join_all().await.into_iter().flatten().collect())
}

async fn finish_one(arena: &Arena, operation: &Operation, slot: usize) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let answer = clients::send(arena, LAST_CLIENT, operation, slot, REQUEST_BOUND).await;
        if answer.is_some_and(|answer| answer.is_final()) {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Waits, within a bound, until no handler runs any more on a server that is alive.
pub(crate) async fn wait_for_runs(arena: &Arena, folder: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let alive = || {
        arena
            .fleet
            .lives()
            .into_iter()
            .filter(|life| life.killed.is_none())
    };
    while Instant::now() < deadline {
        let mut is_quiet = true;
        for life in alive() {
            let seen = gathered(folder, life.server)?;
            is_quiet &= seen.runs.iter().all(|run| run.ended.is_some());
        }
        if is_quiet {
            return Ok(());
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Puts the calls of the store's verbs together that the servers have written down so far.
pub(crate) fn seen_so_far(arguments: &Arguments, arena: &Arena, folder: &Path) -> Result<History> {
    // The journals are read one after the other: what is newer than this is not in all of them.
    let end = Moment::now().minus(Duration::from_millis(500));
    let mut history = nothing_seen(arguments, end);
    for life in arena.fleet.lives() {
        let seen = gathered(folder, life.server)?;
        let old = seen.calls.into_iter().filter(|call| call.begun <= end);
        history.calls.extend(old);
    }
    Ok(history)
}

fn nothing_seen(arguments: &Arguments, end: Moment) -> History {
    History {
        mode: arguments.mode,
        relaxed_claims: arguments.relaxed_claims,
        lease: arguments.lease(),
        lives: Vec::new(),
        faults: Vec::new(),
        calls: Vec::new(),
        runs: Vec::new(),
        requests: Vec::new(),
        probes: Vec::new(),
        operations: BTreeMap::new(),
        unfinished: Vec::new(),
        records: BTreeMap::new(),
        effects: Vec::new(),
        leaks: Vec::new(),
        end,
    }
}

/// Reads the database, stops the servers, and puts together all that was seen.
pub(crate) async fn history(
    arguments: &Arguments,
    arena: &Arena,
    database: &Database,
    folder: &Path,
    unfinished: Vec<String>,
) -> Result<History> {
    let (records, effects) = database.read().await?;
    let end = Moment::now();
    arena.fleet.end().await?;
    let lives = arena.fleet.lives();
    let mut faults = arena.fleet.faults();
    let (mut calls, mut runs) = (Vec::new(), Vec::new());
    for life in &lives {
        let seen = gathered(folder, life.server)?;
        // A clock that a shifted server reads otherwise would make the history worthless.
        let mut times = seen.calls.iter().map(|call| call.begun);
        ensure!(
            times.all(|at| at >= life.from && at <= Moment::now()),
            "the clock of {} is not that of the others",
            life.server
        );
        calls.extend(seen.calls);
        runs.extend(seen.runs);
        faults.extend(seen.stalls);
    }
    let operations = arena.board.all();
    let operations: BTreeMap<_, _> = operations
        .iter()
        .map(|operation| (operation.key.clone(), operation.instructions.clone()))
        .collect();
    Ok(History {
        lives,
        faults,
        calls,
        runs,
        requests: arena.requests(),
        probes: arena.probes(),
        operations,
        unfinished,
        records,
        effects,
        leaks: leaks(folder)?,
        ..nothing_seen(arguments, end)
    })
}

fn gathered(folder: &Path, server: ServerId) -> Result<Gathered> {
    let journal = Fleet::journal(folder, server);
    // A server that was killed in its first moments has none.
    if !journal.exists() {
        return Ok(Gathered::default());
    }
    Ok(gather(server, read_journal(&journal)?))
}

/// Looks for keys and bodies in the servers' logs.
fn leaks(folder: &Path) -> Result<Vec<String>> {
    let mut leaks = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with("log-") {
            continue;
        }
        let log = fs::read(entry.path())?;
        let log = String::from_utf8_lossy(&log);
        let leaked = log
            .lines()
            .filter(|line| line.contains(KEY_MARK) || line.contains(BODY_MARK));
        leaks.extend(leaked.map(str::to_owned));
    }
    Ok(leaks)
}

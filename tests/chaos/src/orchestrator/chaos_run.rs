//! The phases of a run.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use chaos::{Mode, StoreKind, checker};
use fault_proxy::FaultProxy;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    arena::Arena, arguments::Arguments, board::Board, clients, database::Database, ending,
    fleet::Fleet, folder::Folder, nemesis, probes, progress, verdict,
};

/// The bound for everything that was begun to come to its end.
const END: Duration = Duration::from_secs(60);

/// How often a run with a guard switched off looks whether that shows.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Runs, judges, and returns the number of violations.
pub(crate) async fn run(arguments: &Arguments) -> Result<usize> {
    let can_be_relaxed = arguments.mode == Mode::Fenced && arguments.store == StoreKind::Postgres;
    if arguments.relaxed_claims && !can_be_relaxed {
        bail!("only the fenced mode on Postgres has claims that can be relaxed");
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    println!(
        "chaos: seed {seed}; to run it again: {}",
        arguments.again(seed)
    );
    if arguments.store == StoreKind::Sqlite {
        println!("chaos: no clock is shifted: SQLite goes by the clock of the process it is in");
    }
    let folder = Folder::make()?;
    let database =
        Arc::new(Database::start(arguments.store, folder.path(), arguments.servers, seed).await?);
    let stores = (0..arguments.servers as usize)
        .map(|slot| database.url(slot))
        .collect();
    let fleet = Arc::new(Fleet::new(arguments, folder.path(), stores)?);
    fleet.make_whole().await?;
    let board = Board::new(seed, arguments.keys, arguments.leaves_a_fence_out());
    let arena = Arc::new(Arena::new(fleet, board));

    let progress = progress::show(Arc::clone(&arena), folder.path().to_path_buf());
    let progress = tokio::spawn(progress);
    break_things(arguments, &arena, &database, folder.path(), seed).await?;
    if let Some(behind) = database.behind() {
        behind.proxies.iter().for_each(FaultProxy::clear);
    }
    let unfinished = ending::finish(&arena).await?;
    ending::wait_for_runs(&arena, folder.path()).await?;
    tokio::time::sleep(arguments.lease()).await;
    progress.abort();
    progress::end();
    let history = ending::history(arguments, &arena, &database, folder.path(), unfinished).await?;
    let violations = verdict::pronounce(arguments, seed, &arena, &history);
    if (violations > 0 && arguments.sabotage.is_none()) || arguments.keep {
        println!("the journals are in {}", folder.keep()?.display());
    }
    let summary = verdict::last_line(arguments, &arena, &history, violations);
    drop(database);
    drop(folder);
    println!("{summary}");
    Ok(violations)
}

async fn break_things(
    arguments: &Arguments,
    arena: &Arc<Arena>,
    database: &Arc<Database>,
    folder: &Path,
    seed: u64,
) -> Result<()> {
    let mut load = JoinSet::new();
    for number in 0..arguments.clients as usize {
        load.spawn(clients::work(Arc::clone(arena), number, seed));
    }
    load.spawn(probes::probe(Arc::clone(arena), seed ^ 5));
    let mut nemesis = nemesis::unleash(arena, database, arguments, seed);
    let time = tokio::time::sleep(Duration::from_secs(arguments.seconds));
    let noticed = noticed(arguments, arena, folder);
    tokio::pin!(time, noticed);
    loop {
        tokio::select! {
            () = &mut time => break,
            () = &mut noticed => break,
            Some(ended) = nemesis.join_next() => ended??,
        }
    }
    arena.finish();
    let end = async {
        while let Some(ended) = nemesis.join_next().await {
            ended??;
        }
        while let Some(ended) = load.join_next().await {
            ended?;
        }
        anyhow::Ok(())
    };
    timeout(END, end)
        .await
        .context("clients or nemesis do not end")?
}

/// Ends early where a guard was switched off and the calls already show it.
async fn noticed(arguments: &Arguments, arena: &Arena, folder: &Path) {
    while arguments.sabotage.is_some() {
        tokio::time::sleep(LOOK_EVERY).await;
        let seen = ending::seen_so_far(arguments, arena, folder);
        if seen.is_ok_and(|history| checker::is_violated_already(&history)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

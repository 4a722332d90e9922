//! Killing the database, and keeping it from its work.

use std::{str::FromStr, sync::Arc, time::Duration};

use anyhow::Result;
use chaos::{FaultKind, Moment, Whom};
use fastrand::Rng;
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use throwaway_postgres::Server;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::rest;
use crate::{
    arena::{Arena, count},
    database::Behind,
};

/// The bound for what the nemesis asks the database itself.
const BOUND: Duration = Duration::from_secs(2);

/// What the database takes at most to start all over, with all connections taken.
const RECOVERY: Duration = Duration::from_secs(10);

/// So many connections at once are more than the database has.
const CROWD: usize = 120;

/// Kills the database now and then, in the middle of everything, and starts it again.
///
/// Or one of its processes, which has the others start all over: what was in its memory is gone,
/// in this case, too.
pub(crate) async fn kill(arena: Arc<Arena>, behind: Arc<Behind>, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    loop {
        rest(&arena, Duration::from_millis(rng.u64(3_000..9_000))).await;
        let down = Duration::from_millis(rng.u64(0..1_500));
        let choice = rng.u32(..3);
        if arena.is_over() {
            return Ok(());
        }
        let from = Moment::now();
        if choice == 0 {
            if !behind.on_server(Server::crash).await? {
                continue;
            }
            recover(&behind.server.url()).await;
        } else {
            behind.on_server(Server::kill).await?;
            sleep(down).await;
            behind.on_server(Server::start_again).await?;
        }
        count(&arena.figures.database_kills);
        arena.fleet.note(FaultKind::Crash, Whom::All, from);
    }
}

/// Waits until a server that starts all over by itself answers again, or will not soon.
async fn recover(url: &str) {
    let answers = async {
        while PgConnection::connect(url).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(RECOVERY, answers).await;
}

/// Ends its sessions, uses up its connections, and holds its table.
pub(crate) async fn disturb(arena: Arc<Arena>, behind: Arc<Behind>, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let options = PgConnectOptions::from_str(&behind.server.url())?;
    loop {
        rest(&arena, Duration::from_millis(rng.u64(1_000..4_000))).await;
        let lasting = Duration::from_millis(rng.u64(100..1_200));
        let choice = rng.u32(..5);
        if arena.is_over() {
            return Ok(());
        }
        let from = Moment::now();
        // None of it can succeed while the database is down.
        match choice {
            0 | 1 => {
                let _ = behind.on_server(Server::terminate_backends).await;
                note(&arena, "sessions were ended", from);
            }
            2 => {
                crowd(&options, lasting).await;
                note(&arena, "connections were used up", from);
            }
            _ => {
                let _ = timeout(BOUND, hold_table(&options, lasting)).await;
                note(&arena, "the table was locked", from);
            }
        }
    }
}

/// Takes every connection that is left, for a while.
async fn crowd(options: &PgConnectOptions, lasting: Duration) {
    let mut connecting = JoinSet::new();
    for _ in 0..CROWD {
        let options = options.clone();
        connecting.spawn(async move { PgConnection::connect_with(&options).await });
    }
    let mut connections = Vec::new();
    let all = async {
        while let Some(connected) = connecting.join_next().await {
            connections.extend(connected.into_iter().flatten());
        }
    };
    let _ = timeout(BOUND, all).await;
    sleep(lasting).await;
}

/// Lets every statement on the records wait, so that the servers' pools run dry.
async fn hold_table(options: &PgConnectOptions, lasting: Duration) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(options).await?;
    let mut transaction = connection.begin().await?;
    transaction
        .execute("SET LOCAL lock_timeout = '500ms'")
        .await?;
    transaction
        .execute("LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE")
        .await?;
    sleep(lasting).await;
    transaction.rollback().await
}

fn note(arena: &Arena, what: &str, from: Moment) {
    let kind = FaultKind::Store(what.to_owned());
    arena.fleet.note(kind, Whom::All, from);
}

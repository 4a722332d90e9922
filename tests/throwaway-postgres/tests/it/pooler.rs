//! Poolers share connections, survive what tests do to them, and leave nothing behind.

use std::{collections::HashSet, net::SocketAddr, path::Path, time::Duration};

use sqlx::{Connection, PgConnection, Row};
use throwaway_postgres::{PgBouncer, PgBouncerProgram, Server};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{is_running, runtime, server};

const BOUND: Duration = Duration::from_secs(20);
/// Long enough to notice what should not come.
const MOMENT: Duration = Duration::from_millis(200);

pub(crate) fn program() -> Option<PgBouncerProgram> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/pgbouncer");
    PgBouncerProgram::provide_or_leave_out(&cache)
}

fn pooler(settings: &[(&str, &str)]) -> Option<(PgBouncer, Server)> {
    let program = program()?;
    let server = server();
    let upstream = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let folder = std::env::temp_dir();
    let pooler = PgBouncer::start_with(&program, &folder, upstream, settings);
    Some((pooler.unwrap(), server))
}

/// Asks which connection to the server is used, by the simple protocol.
async fn backend(client: &mut PgConnection) -> sqlx::Result<i32> {
    let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(client);
    row.await?.try_get(0)
}

async fn connect(url: &str) -> PgConnection {
    let connected = timeout(BOUND, PgConnection::connect(url)).await;
    connected.expect("it connects within the bound").unwrap()
}

#[test]
fn sixteen_clients_share_four_connections() {
    let Some((pooler, _server)) = pooler(&[]) else {
        return;
    };
    let used = async {
        let mut clients = JoinSet::new();
        for _ in 0..16 {
            let mut client = connect(&pooler.url()).await;
            clients.spawn(async move {
                let mut used = HashSet::new();
                for _ in 0..50 {
                    used.insert(backend(&mut client).await.unwrap());
                }
                used
            });
        }
        timeout(BOUND, clients.join_all()).await.unwrap()
    };
    let used: HashSet<i32> = runtime().block_on(used).into_iter().flatten().collect();
    assert!((1..=4).contains(&used.len()), "{used:?}");
}

#[test]
fn a_session_may_be_pooled_as_a_whole() {
    let settings = [("pool_mode", "session"), ("default_pool_size", "1")];
    let Some((pooler, _server)) = pooler(&settings) else {
        return;
    };
    runtime().block_on(async {
        let mut first = connect(&pooler.url()).await;
        let used = backend(&mut first).await.unwrap();
        let mut second = connect(&pooler.console_url()).await;
        let shown = sqlx::raw_sql("SHOW POOLS").fetch_all(&mut second);
        assert!(!timeout(BOUND, shown).await.unwrap().unwrap().is_empty());

        let waiting = async { PgConnection::connect(&pooler.url()).await };
        let mut waiting = Box::pin(waiting);
        let early = timeout(MOMENT, async {
            let mut client = waiting.as_mut().await.unwrap();
            backend(&mut client).await.unwrap()
        });
        assert!(early.await.is_err(), "the one connection is taken");
        drop(waiting);
        assert_eq!(backend(&mut first).await.unwrap(), used);
        first.close().await.unwrap();
        let mut next = connect(&pooler.url()).await;
        backend(&mut next).await.unwrap();
    });
}

#[test]
fn a_pooler_can_be_paused_stopped_killed_and_started_again() {
    let Some((pooler, server)) = pooler(&[]) else {
        return;
    };
    runtime().block_on(async {
        let mut client = connect(&pooler.url()).await;
        pooler.pause().unwrap();
        assert!(timeout(MOMENT, backend(&mut client)).await.is_err());
        pooler.resume().unwrap();

        let mut client = connect(&pooler.url()).await;
        backend(&mut client).await.unwrap();
        pooler.kill().unwrap();
        assert!(backend(&mut client).await.is_err());
        pooler.start_again().unwrap();

        // An open transaction does not keep it from ending.
        let mut client = connect(&pooler.url()).await;
        let begun = sqlx::raw_sql("BEGIN; SELECT 1").execute(&mut client);
        begun.await.unwrap();
        let pid = pooler.pid().unwrap();
        pooler.stop().unwrap();
        assert!(!is_running(pid) && pooler.pid().is_err());
        pooler.start_again().unwrap();
        let mut client = connect(&pooler.url()).await;
        backend(&mut client).await.unwrap();

        // Its connections to the server go with it.
        pooler.stop().unwrap();
        let ended = async {
            let mut client = connect(&server.url()).await;
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
            while sqlx::query_scalar::<_, i64>(sql)
                .fetch_one(&mut client)
                .await
                .unwrap()
                > 0
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(BOUND, ended).await.unwrap();
    });
}

#[test]
fn a_dropped_pooler_leaves_nothing() {
    let Some((pooler, _server)) = pooler(&[]) else {
        return;
    };
    let (pid, folder) = (pooler.pid().unwrap(), pooler.folder().to_path_buf());
    assert!(is_running(pid) && folder.is_dir());
    pooler.pause().unwrap();
    drop(pooler);
    assert!(!is_running(pid) && !folder.exists());
}

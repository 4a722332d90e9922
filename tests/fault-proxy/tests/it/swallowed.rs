//! Replies that a client of Postgres never hears.

use std::{
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use fault_proxy::{AfterSwallow, Direction, Fault, FaultProxy};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Transaction,
    postgres::{PgConnectOptions, PgSslMode},
};
use throwaway_postgres::{Binaries, Server};
use tokio::time::timeout;

use crate::{BOUND, MOMENT, soon};

/// One for all tests; it is removed when this process has ended.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/postgres");
    let binaries = Binaries::provide(None, &cache).unwrap();
    Server::start(&binaries, &std::env::temp_dir()).unwrap()
});

/// A schema of the test's own with one table, and a proxy before its server.
struct Stage {
    proxy: FaultProxy,
    schema: String,
}

impl Stage {
    async fn set_up() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let schema = format!("s{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let upstream = ([127, 0, 0, 1], SERVER.port()).into();
        let proxy = FaultProxy::start_seeded(upstream, 1).await.unwrap();
        let stage = Self { proxy, schema };
        let schema = &stage.schema;
        let sql = format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (n int)");
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        let mut client = stage.connect_to(SERVER.port()).await;
        client.execute(sql).await.unwrap();
        stage
    }

    async fn connect(&self) -> PgConnection {
        self.connect_to(self.proxy.addr().port()).await
    }

    async fn connect_to(&self, port: u16) -> PgConnection {
        let options = PgConnectOptions::new()
            .host("127.0.0.1")
            .port(port)
            .username("postgres")
            .database("postgres")
            .options([("search_path", &self.schema)])
            // Asks for encryption first, as clients do by default; the server has none.
            .ssl_mode(PgSslMode::Prefer);
        soon(PgConnection::connect_with(&options)).await.unwrap()
    }

    /// Asks the server itself.
    async fn rows(&self) -> i64 {
        let mut client = self.connect_to(SERVER.port()).await;
        let counted = sqlx::query_scalar("SELECT count(*) FROM t");
        counted.fetch_one(&mut client).await.unwrap()
    }
}

const INSERT: &str = "INSERT INTO t VALUES ($1)";

async fn begun(client: &mut PgConnection) -> Transaction<'_, Postgres> {
    let mut transaction = client.begin().await.unwrap();
    let inserted = sqlx::query(INSERT).bind(1).execute(&mut *transaction);
    inserted.await.unwrap();
    transaction
}

#[tokio::test]
async fn a_commit_whose_reply_is_swallowed_has_happened() {
    let stage = Stage::set_up().await;
    let mut client = stage.connect().await;
    stage.proxy.swallow_next_commit_reply();
    let transaction = begun(&mut client).await;
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (0, 0));
    assert!(soon(transaction.commit()).await.is_err());
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (1, 1));
    assert!(client.ping().await.is_err());

    // It was the next one only.
    let mut client = stage.connect().await;
    begun(&mut client).await.commit().await.unwrap();
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (2, 1));
}

#[tokio::test]
async fn a_commit_at_the_end_of_a_simple_query_counts_as_one() {
    let stage = Stage::set_up().await;
    let mut client = stage.connect().await;
    stage.proxy.swallow_next_commit_reply();
    client.execute("SELECT 1; SELECT 2").await.unwrap();
    let sql = "BEGIN; INSERT INTO t VALUES (1); commit ;";
    assert!(soon(client.execute(sqlx::raw_sql(sql))).await.is_err());
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (1, 1));
}

#[tokio::test]
async fn a_prepared_commit_counts_as_one_each_time_it_runs() {
    let stage = Stage::set_up().await;
    let mut client = stage.connect().await;
    for n in 1..=2 {
        client.execute("BEGIN").await.unwrap();
        let inserted = sqlx::query(INSERT).bind(1).execute(&mut client);
        inserted.await.unwrap();
        if n == 2 {
            stage.proxy.swallow_next_commit_reply();
        }
        let committed = soon(sqlx::query("COMMIT").execute(&mut client)).await;
        assert_eq!(committed.is_ok(), n == 1);
    }
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (2, 1));
}

#[tokio::test]
async fn a_client_may_be_left_hanging() {
    let stage = Stage::set_up().await;
    stage.proxy.after_swallow(AfterSwallow::Hang);
    stage.proxy.swallow_next_commit_reply();
    let mut client = stage.connect().await;
    let transaction = begun(&mut client).await;
    let mut commit = Box::pin(transaction.commit());
    assert!(timeout(MOMENT, &mut commit).await.is_err());
    crate::eventually(|| stage.proxy.swallowed() == 1).await;
    assert_eq!(stage.rows().await, 1);
    assert!(timeout(MOMENT, &mut commit).await.is_err());
    stage.proxy.cut();
    assert!(soon(commit).await.is_err());
    crate::eventually(|| stage.proxy.connections() == 0).await;
}

#[tokio::test]
async fn the_reply_to_an_autocommit_statement_can_be_swallowed() {
    let stage = Stage::set_up().await;
    let mut client = stage.connect().await;
    stage.proxy.swallow_next_reply();
    let inserted = sqlx::query(INSERT).bind(1).execute(&mut client);
    assert!(soon(inserted).await.is_err());
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (1, 1));

    let mut client = stage.connect().await;
    stage.proxy.swallow_next_reply_to("INSERT");
    client.execute("SELECT 1").await.unwrap();
    let inserted = sqlx::query(INSERT).bind(1).execute(&mut client);
    assert!(soon(inserted).await.is_err());
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (2, 2));
}

#[tokio::test]
async fn a_share_of_the_commits_is_lost_and_all_have_happened() {
    let stage = Stage::set_up().await;
    stage.proxy.swallow_commit_replies(500);
    let mut lost = 0;
    for _ in 0..30 {
        let mut client = stage.connect().await;
        let committed = soon(begun(&mut client).await.commit()).await;
        lost += u64::from(committed.is_err());
    }
    assert!((1..30).contains(&lost), "{lost}");
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (30, lost));
    stage.proxy.clear();
    let mut client = stage.connect().await;
    for _ in 0..30 {
        begun(&mut client).await.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_commit_that_never_arrives_has_not_happened() {
    let stage = Stage::set_up().await;
    let mut client = stage.connect().await;
    let transaction = begun(&mut client).await;
    stage.proxy.swallow_next_commit_reply();
    stage.proxy.set(Fault::BlackHole(Direction::ToServer));
    assert!(timeout(MOMENT, transaction.commit()).await.is_err());
    stage.proxy.cut();
    assert_eq!((stage.rows().await, stage.proxy.swallowed()), (0, 0));
}

#[tokio::test]
async fn long_values_and_many_rows_pass_unchanged() {
    let stage = Stage::set_up().await;
    let mut client = stage.connect().await;
    let long = "x".repeat(2_000_000);
    let echoed: String = sqlx::query_scalar("SELECT $1")
        .bind(&long)
        .fetch_one(&mut client)
        .await
        .unwrap();
    assert!(echoed == long);
    let sql = format!("SELECT '{long}'; INSERT INTO t SELECT * FROM generate_series(1, 50000)");
    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
    timeout(BOUND, client.execute(sql)).await.unwrap().unwrap();
    let rows: Vec<i32> = sqlx::query_scalar("SELECT n FROM t ORDER BY n")
        .fetch_all(&mut client)
        .await
        .unwrap();
    assert!(rows.into_iter().eq(1..=50_000));
    // The count of replies is still right.
    stage.proxy.swallow_next_commit_reply();
    let transaction = begun(&mut client).await;
    assert!(soon(transaction.commit()).await.is_err());
    assert_eq!(stage.rows().await, 50_001);
}

//! Stores whose connections go through a pooler.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use sqlx::{
    ConnectOptions, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use throwaway_postgres::{PgBouncer, PgBouncerProgram};
use tower_idempotency_postgres::{Pooling, PostgresStore};

use crate::support::{Postgres, empty, server};

/// The program, if there is one here; without, the tests leave out what is behind it, and say so.
fn program() -> Option<&'static PgBouncerProgram> {
    static PROGRAM: LazyLock<Option<PgBouncerProgram>> = LazyLock::new(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        PgBouncerProgram::provide_or_leave_out(&root.join("target").join("pgbouncer"))
    });
    PROGRAM.as_ref()
}

/// Which version it is.
pub(crate) fn version() -> Option<(u32, u32)> {
    program().map(PgBouncerProgram::version)
}

/// Starts a pooler before the server of the tests.
pub(crate) fn pooler(settings: &[(&str, &str)]) -> Option<PgBouncer> {
    let upstream = format!("{}:{}", server().get_host(), server().get_port());
    let upstream: SocketAddr = upstream.replace("localhost", "127.0.0.1").parse().unwrap();
    let parent = std::env::temp_dir();
    program().map(|program| PgBouncer::start_with(program, &parent, upstream, settings).unwrap())
}

/// The pooler that many tests share; its watchdog ends it with the process.
pub(crate) fn shared() -> Option<&'static PgBouncer> {
    static POOLER: LazyLock<Option<PgBouncer>> = LazyLock::new(|| pooler(&[]));
    POOLER.as_ref()
}

/// The same for tests whose transactions keep server connections for long.
pub(crate) fn roomy() -> Option<&'static PgBouncer> {
    static POOLER: LazyLock<Option<PgBouncer>> =
        LazyLock::new(|| pooler(&[("default_pool_size", "60")]));
    POOLER.as_ref()
}

/// How to connect to a pooler; to the server itself if there is none.
pub(crate) fn options(pooler: Option<&PgBouncer>) -> PgConnectOptions {
    let Some(pooler) = pooler else {
        return server();
    };
    let options: PgConnectOptions = pooler.url().parse().unwrap();
    options.disable_statement_logging()
}

pub(crate) async fn pool(options: PgConnectOptions, size: u32) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(Duration::from_secs(30));
    pool.connect_with(options).await.unwrap()
}

/// A migrated store behind a pooler, in a fresh schema; the test's own pool is not behind it.
pub(crate) async fn behind(pooler: Option<&PgBouncer>) -> Postgres {
    let mut postgres = empty(&[]).await;
    let pool = pool(options(pooler), 16).await;
    postgres.store = store(&postgres, pool, Pooling::Transaction);
    postgres.store.migrate().await.unwrap();
    postgres
}

/// A store in the schema of a test.
pub(crate) fn store(postgres: &Postgres, pool: PgPool, pooling: Pooling) -> PostgresStore {
    let store = PostgresStore::builder(pool)
        .schema(&*postgres.schema)
        .pooling(pooling);
    store.build().unwrap()
}

/// Keeps `clients` at work behind a pooler until it is dropped.
pub(crate) struct Load(Vec<tokio::task::AbortHandle>);

impl Load {
    pub(crate) async fn on(pooler: &PgBouncer, clients: u32) -> Self {
        let pool = Arc::new(pool(options(Some(pooler)), clients).await);
        let work = |_| {
            let pool = Arc::clone(&pool);
            let work = async move {
                loop {
                    let work = sqlx::raw_sql("BEGIN; SELECT pg_sleep(random() / 500); COMMIT");
                    let _ = work.execute(&*pool).await;
                }
            };
            tokio::spawn(work).abort_handle()
        };
        Self((0..clients).map(work).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

//! A database of its own for each test, on both servers.

use std::{
    env, fs, process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use sqlx::{
    Any, AnyPool, AssertSqlSafe, Connection, PgConnection, Transaction,
    any::{AnyPoolOptions, install_default_drivers},
};

/// The bound of every wait.
const BOUND: Duration = Duration::from_secs(60);

/// An empty database behind the driver that is chosen at run time.
pub(crate) struct Db {
    pub(crate) pool: AnyPool,
    pub(crate) is_postgres: bool,
    pub(crate) url: String,
    /// The schema in Postgres, the file in SQLite.
    pub(crate) place: String,
}

/// Makes a test on each database of an `async fn(Db)`.
macro_rules! both {
    ($($(#[$doc:meta])* async fn $name:ident($db:ident: Db) $body:block)*) => { $(
        $(#[$doc])*
        async fn $name($db: crate::support::Db) $body

        mod $name {
            use crate::support::{Db, run};

            #[test]
            fn on_postgres() {
                run(async { super::$name(Db::postgres().await).await });
            }

            #[test]
            fn on_sqlite() {
                run(async { super::$name(Db::sqlite().await).await });
            }
        }
    )* };
}

/// Runs a test on several threads, within a bound.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let bounded = async { tokio::time::timeout(BOUND, test).await };
    runtime.block_on(bounded).expect("the test ends in time");
}

impl Db {
    pub(crate) async fn postgres() -> Self {
        let server = env::var("TEST_DATABASE_URL")
            .expect("run `cargo xtask test`, or set TEST_DATABASE_URL to a server for tests");
        let schema = fresh_name();
        let mut admin = PgConnection::connect(&server).await.unwrap();
        let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
        let make = sqlx::raw_sql(AssertSqlSafe(sql));
        make.execute(&mut admin).await.unwrap();
        let url = format!(
            "{server}?application_name={schema}&options=-csearch_path%3D{schema}\
             %20-cclient_min_messages%3Dwarning"
        );
        Self::connect(url, true, schema).await
    }

    pub(crate) async fn sqlite() -> Self {
        let file = env::temp_dir().join(format!("{}.db", fresh_name()));
        let file = file.to_str().unwrap().to_owned();
        let db = Self::connect(format!("sqlite://{file}?mode=rwc"), false, file).await;
        db.sql("PRAGMA journal_mode = WAL").await;
        db
    }

    async fn connect(url: String, is_postgres: bool, place: String) -> Self {
        install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(10)
            .acquire_timeout(BOUND);
        let pool = if is_postgres {
            pool
        } else {
            pool.after_connect(|connection, _| {
                Box::pin(async {
                    let wait = sqlx::query("PRAGMA busy_timeout = 30000");
                    wait.execute(connection).await.map(drop)
                })
            })
        };
        Self {
            pool: pool.connect(&url).await.unwrap(),
            is_postgres,
            url,
            place,
        }
    }

    pub(crate) async fn sql(&self, sql: &str) {
        let script = sqlx::raw_sql(AssertSqlSafe(sql));
        script.execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let count = sqlx::query_scalar(sql);
        count.fetch_one(&self.pool).await.unwrap()
    }

    /// Begins a transaction that may write after it has read.
    pub(crate) async fn begin(&self) -> Transaction<'static, Any> {
        let begin = if self.is_postgres {
            "BEGIN"
        } else {
            "BEGIN IMMEDIATE"
        };
        self.pool.begin_with(begin).await.unwrap()
    }

    /// Waits until so many connections of this test wait for a lock in Postgres that another of them
    /// holds.
    pub(crate) async fn waiters(&self, wanted: i64) {
        let sql = "SELECT count(*) FROM pg_stat_activity AS waiting
            WHERE application_name = $1 AND EXISTS (
                SELECT FROM pg_stat_activity AS holder
                WHERE holder.application_name = $1
                  AND holder.pid = ANY (pg_blocking_pids(waiting.pid)))";
        let started = Instant::now();
        loop {
            let count = sqlx::query_scalar(sql).bind(&self.place);
            let waiting: i64 = count.fetch_one(&self.pool).await.unwrap();
            if waiting >= wanted {
                return;
            }
            assert!(started.elapsed() < BOUND, "{waiting} of {wanted} wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if !self.is_postgres {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}{end}", self.place));
            }
        }
    }
}

fn fresh_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("once_{}_{number}", process::id())
}

use std::{
    env, fs,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use sqlx::{
    AnyPool, AssertSqlSafe, Connection, PgConnection,
    any::{AnyPoolOptions, install_default_drivers},
};

/// The bound of every wait.
const BOUND: Duration = Duration::from_secs(90);

/// An empty database.
#[derive(Debug)]
pub struct Database {
    /// What tells the program to use it.
    pub arguments: Vec<String>,
    /// Whether it is Postgres.
    pub is_postgres: bool,
    url: String,
    name: String,
    folder: PathBuf,
}

/// Runs a test on several threads, within a bound.
///
/// # Panics
///
/// If it does not end in time.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let bounded = async { tokio::time::timeout(BOUND, test).await };
    runtime.block_on(bounded).expect("the test ends in time");
}

impl Database {
    /// Makes a schema in the Postgres of `TEST_DATABASE_URL`.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn postgres() -> Self {
        let server = env::var("TEST_DATABASE_URL")
            .expect("run `cargo xtask test`, or set TEST_DATABASE_URL to a server for tests");
        let (name, folder) = fresh();
        let mut admin = PgConnection::connect(&server)
            .await
            .expect("the server for tests is there");
        let sql = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
        let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await;
        made.expect("a schema can be made");
        let url = format!("{server}?application_name={name}&options=-csearch_path%3D{name}");
        Self {
            arguments: vec!["--database-url".to_owned(), url.clone()],
            is_postgres: true,
            url,
            name,
            folder,
        }
    }

    /// Makes a folder for SQLite files; the program's tables are in `app.db` there.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[expect(clippy::unused_async, reason = "it is used as the other one is")]
    pub async fn sqlite() -> Self {
        let (name, folder) = fresh();
        let file = folder.join("app.db");
        Self {
            arguments: vec!["--folder".to_owned(), folder.display().to_string()],
            is_postgres: false,
            url: format!("sqlite://{}", file.display()),
            name,
            folder,
        }
    }

    /// Connects to what the program has made.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub async fn connect(&self) -> AnyPool {
        install_default_drivers();
        let pool = AnyPoolOptions::new().max_connections(4);
        pool.connect(&self.url)
            .await
            .expect("the database is there")
    }

    /// Runs statements.
    ///
    /// # Panics
    ///
    /// If one fails.
    pub async fn sql(&self, pool: &AnyPool, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await;
        done.expect("the statements can be run");
    }

    /// Runs a query for one number.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn number(&self, pool: &AnyPool, sql: &'static str) -> i64 {
        let number = sqlx::query_scalar(sql).fetch_one(pool).await;
        number.expect("the query returns a number")
    }

    /// Waits until so many of the program's connections wait for a lock in Postgres that another
    /// connection to this database holds.
    ///
    /// Those of other tests do not count: all share the names of advisory locks.
    ///
    /// # Panics
    ///
    /// If they do not in time.
    pub async fn waiters(&self, pool: &AnyPool, wanted: i64) {
        let sql = "SELECT count(*) FROM pg_stat_activity AS waiting
            WHERE application_name = $1 AND EXISTS (
                SELECT FROM pg_stat_activity AS holder
                WHERE holder.application_name = $1
                  AND holder.pid = ANY (pg_blocking_pids(waiting.pid)))";
        let started = Instant::now();
        loop {
            let count = sqlx::query_scalar(sql).bind(&self.name);
            let waiting: i64 = count.fetch_one(pool).await.expect("it can be counted");
            if waiting >= wanted {
                return;
            }
            assert!(started.elapsed() < BOUND, "{waiting} of {wanted} wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns a folder that is gone after the test.
    #[must_use]
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn fresh() -> (String, PathBuf) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("example_{}_{number}", process::id());
    let folder = env::temp_dir().join(&name);
    fs::create_dir_all(&folder).expect("a temporary folder can be made");
    (name, folder)
}

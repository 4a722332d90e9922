//! A schema of its own for each test.

use std::{
    process,
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, PgTransaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Fingerprint, IdempotencyKey, RecordId, Retention,
    Scope, Settled, Store, StoredResponse,
};
use tower_idempotency_postgres::{PostgresExecution, PostgresStore};
use tower_idempotency_testkit::Harness;

pub(crate) struct Postgres {
    pub(crate) store: PostgresStore,
    pub(crate) pool: PgPool,
    pub(crate) options: PgConnectOptions,
    pub(crate) schema: String,
}

/// The server that `cargo xtask test` has started.
pub(crate) fn server() -> PgConnectOptions {
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("run `cargo xtask test`, or set TEST_DATABASE_URL to a server for tests");
    PgConnectOptions::from_str(&url)
        .expect("TEST_DATABASE_URL is a URL")
        .disable_statement_logging()
}

/// A migrated store in a fresh schema.
pub(crate) async fn postgres() -> Postgres {
    with_options(&[]).await
}

/// A migrated store on connections with these server options.
pub(crate) async fn with_options(options: &[(&str, &str)]) -> Postgres {
    let postgres = empty(options).await;
    postgres.store.migrate().await.unwrap();
    postgres
}

/// A store in a fresh schema, not migrated.
pub(crate) async fn empty(options: &[(&str, &str)]) -> Postgres {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("it_{}_{number}", process::id());
    let mut admin = PgConnection::connect_with(&server()).await.unwrap();
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();

    let options = server()
        .options([("search_path", schema.as_str())])
        .options(options.iter().copied());
    let pool = pool(&options, 8).await;
    Postgres {
        store: PostgresStore::new(pool.clone()),
        pool,
        options,
        schema,
    }
}

pub(crate) async fn pool(options: &PgConnectOptions, size: u32) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(Duration::from_secs(30));
    pool.connect_with(options.clone()).await.unwrap()
}

impl Postgres {
    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        let done = self.pool.execute(AssertSqlSafe(sql)).await;
        done.unwrap().rows_affected()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let schema = self.schema.clone();
        // A thread of its own, since a runtime cannot wait inside of itself.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut admin = PgConnection::connect_with(&server()).await?;
                let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
                admin.execute(AssertSqlSafe(sql)).await
            })
        });
        if !matches!(dropped.join(), Ok(Ok(_))) && !std::thread::panicking() {
            panic!("the schema of a test could not be dropped");
        }
    }
}

/// Reads two counts of the server's, once the first of them has come that far.
pub(crate) async fn statistics(pool: &PgPool, sql: &'static str, at_least: i64) -> (i64, i64) {
    for _ in 0..200 {
        // The statistics of a backend arrive when it is asked to hand them in.
        let flush = sqlx::query("SELECT pg_stat_force_next_flush()");
        flush.execute(pool).await.unwrap();
        let counts: (i64, i64) = sqlx::query_as(sql).fetch_one(pool).await.unwrap();
        if counts.0 >= at_least {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the statistics did not arrive");
}

impl Harness for Postgres {
    type Store = PostgresStore;

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        let ms = by.as_millis();
        self.execute(&format!(
            // Not a part of what is tested, so it does not give way to it.
            "BEGIN ISOLATION LEVEL READ COMMITTED;
             UPDATE idempotency_keys SET
                 created_at = created_at - {ms} * interval '1 ms',
                 lease_expires_at = lease_expires_at - {ms} * interval '1 ms',
                 ended_at = ended_at - {ms} * interval '1 ms',
                 expires_at = expires_at - {ms} * interval '1 ms',
                 sweep_at = sweep_at - {ms} * interval '1 ms';
             COMMIT"
        ))
        .await;
    }

    async fn damage(&self, id: &RecordId) -> bool {
        let damaged =
            sqlx::query("UPDATE idempotency_keys SET response_head = '\\xff' WHERE id = $1")
                .bind(id.as_bytes().as_slice())
                .execute(&self.pool)
                .await;
        assert_eq!(damaged.unwrap().rows_affected(), 1);
        true
    }
}

pub(crate) fn request(key: &str) -> ClaimRequest {
    let key = IdempotencyKey::new(key).unwrap();
    ClaimRequest::new(Scope::new("alice", "POST /payments"), key, Fingerprint::OFF)
}

pub(crate) async fn acquire(store: &PostgresStore, request: &ClaimRequest) -> PostgresExecution {
    match store.claim(request).await {
        Ok(Claim::Acquired(execution)) => execution,
        other => panic!("expected to acquire the key: {other:?}"),
    }
}

/// Makes a store with so many lanes.
pub(crate) fn store(postgres: &Postgres, lanes: usize) -> PostgresStore {
    let builder = PostgresStore::builder(postgres.pool.clone());
    builder.batch_connections(lanes).build().unwrap()
}

pub(crate) fn completed(bytes: usize) -> Completed {
    let response = StoredResponse::new(StatusCode::OK, &HeaderMap::new(), vec![b'x'; bytes]);
    Completed::new(response, Retention::COMPLETED)
}

pub(crate) async fn complete(execution: &mut PostgresExecution) {
    let settled = execution.complete(&completed(200)).await;
    assert_eq!(settled.unwrap(), Settled::Applied);
}

/// Waits until the lease of the only record has run out.
pub(crate) async fn until_dead(postgres: &Postgres) {
    let dead = "SELECT count(*) FROM idempotency_keys
                WHERE lease_expires_at <= clock_timestamp()";
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        let found: i64 = sqlx::query_scalar(dead)
            .fetch_one(&postgres.pool)
            .await
            .unwrap();
        if found == 1 {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "the lease does not run out"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Counts the statements that wait for a lock of this test's table.
pub(crate) async fn waiting(postgres: &Postgres) -> i64 {
    let sql = "SELECT count(*) FROM pg_locks
               WHERE relation = 'idempotency_keys'::regclass AND NOT granted";
    sqlx::query_scalar(sql)
        .fetch_one(&postgres.pool)
        .await
        .unwrap()
}

/// Makes every statement wait for the table, until the transaction is rolled back.
pub(crate) async fn lock_table(postgres: &Postgres) -> PgTransaction<'static> {
    let mut holder = postgres.pool.begin().await.unwrap();
    let lock = "LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE";
    holder.execute(lock).await.unwrap();
    holder
}

/// Waits until a statement waits for the locked table.
pub(crate) async fn until_waiting(postgres: &Postgres) {
    while waiting(postgres).await == 0 {}
}

/// Waits until a statement waits for a row of `holder`.
pub(crate) async fn until_waited_for(postgres: &Postgres, holder: &mut PgTransaction<'_>) {
    let pid = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
    let pid = pid.fetch_one(&mut **holder).await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
    let waiting = || sqlx::query_scalar::<_, i64>(waiting).bind(pid);
    while waiting().fetch_one(&postgres.pool).await.unwrap() == 0 {}
}

/// Runs `operations` while the table is locked until one of them waits for it: by then the others
/// are behind it in the queue.
pub(crate) async fn together<T>(postgres: &Postgres, operations: impl Future<Output = T>) -> T {
    let holder = lock_table(postgres).await;
    let release = async {
        until_waiting(postgres).await;
        holder.rollback().await.unwrap();
    };
    tokio::join!(operations, release).0
}

/// Runs `operations` while `first` waits for the locked table: they are in one batch, behind it.
pub(crate) async fn behind<A, B>(
    postgres: &Postgres,
    first: impl Future<Output = A>,
    operations: impl Future<Output = B>,
) -> B {
    let holder = lock_table(postgres).await;
    let queued = async {
        until_waiting(postgres).await;
        // The operations are asked first, and so are all in the queue when the lock goes.
        let rollback = async { holder.rollback().await.unwrap() };
        tokio::join!(operations, rollback).0
    };
    tokio::join!(first, queued).1
}

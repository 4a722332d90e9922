//! A transactional store with a table for effects.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use fault_proxy::FaultProxy;
use http::Extensions;
use sqlx::{AssertSqlSafe, PgPool};
use tower_idempotency_core::{
    Claim, ClaimRequest, Execution, Fingerprint, Settled, Store, StoreError,
};
use tower_idempotency_postgres::{
    PostgresStore, TransactionExecution, TransactionalStore, TransactionalStoreBuilder, Tx,
};

use crate::support::{Postgres, completed, pool, postgres, server};

/// How long anything may take that should happen soon.
const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Bench {
    /// Its pool is not the one that the store uses.
    pub(crate) postgres: Postgres,
    pub(crate) store: TransactionalStore,
    pub(crate) pool: PgPool,
}

/// A store with the default settings.
pub(crate) async fn bench() -> Bench {
    bench_with(|builder| builder).await
}

/// A store that gives up soon, on a server that answers at once.
pub(crate) async fn hasty() -> Bench {
    let postgres = postgres().await;
    let pool = pool(&postgres.options, 8).await;
    over(postgres, pool, Duration::from_millis(600), |builder| {
        builder
    })
    .await
}

pub(crate) async fn bench_with(
    set: impl FnOnce(TransactionalStoreBuilder) -> TransactionalStoreBuilder,
) -> Bench {
    let postgres = postgres().await;
    let pool = pool(&postgres.options, 8).await;
    over(postgres, pool, Duration::from_secs(5), set).await
}

/// A store that talks to the server through a proxy.
pub(crate) async fn proxied(
    bound: Duration,
    set: impl FnOnce(TransactionalStoreBuilder) -> TransactionalStoreBuilder,
) -> (Bench, FaultProxy) {
    let postgres = postgres().await;
    let host = postgres.options.get_host().to_owned();
    let address = tokio::net::lookup_host((host, server().get_port())).await;
    let address: SocketAddr = address.unwrap().next().unwrap();
    let proxy = FaultProxy::start(address).await.unwrap();
    let options = postgres.options.clone().host("127.0.0.1");
    let options = options.application_name(&postgres.schema);
    let pool = pool(&options.port(proxy.addr().port()), 8).await;
    (over(postgres, pool, bound, set).await, proxy)
}

/// A store on `pool`, whose operations have this bound.
pub(crate) async fn over(
    postgres: Postgres,
    pool: PgPool,
    bound: Duration,
    set: impl FnOnce(TransactionalStoreBuilder) -> TransactionalStoreBuilder,
) -> Bench {
    postgres.execute("CREATE TABLE effects (n int)").await;
    let store = PostgresStore::builder(pool.clone()).operation_timeout(bound);
    let store = set(store.build().unwrap().transactional_builder());
    Bench {
        postgres,
        store: store.build().unwrap(),
        pool,
    }
}

/// A claimed request: its execution, and what its handler finds.
pub(crate) struct Running {
    pub(crate) execution: TransactionExecution,
    pub(crate) extensions: Extensions,
}

impl Bench {
    pub(crate) async fn acquire(&self, request: &ClaimRequest) -> Running {
        match self.store.claim(request).await {
            Ok(Claim::Acquired(execution)) => Running::new(execution),
            other => panic!("expected to acquire the key: {other:?}"),
        }
    }

    /// Claims a key that must not be free, and says what it is.
    pub(crate) async fn refused(&self, request: &ClaimRequest) -> &'static str {
        match self.store.claim(request).await {
            Ok(Claim::Acquired(_)) => "acquired",
            Ok(Claim::InProgress { .. }) => "in progress",
            Ok(Claim::Completed(_)) => "completed",
            Ok(Claim::Mismatch) => "mismatch",
            Ok(Claim::OutcomeUnknown) => "outcome unknown",
            Ok(Claim::Exhausted) => "exhausted",
            Err(error) => panic!("the store answers: {error:?}"),
        }
    }

    /// Claims until the key is free, as a client does that comes again.
    pub(crate) async fn acquire_soon(&self, request: &ClaimRequest) -> Running {
        let end = Instant::now() + SOON;
        loop {
            match self.store.claim(request).await {
                Ok(Claim::Acquired(execution)) => return Running::new(execution),
                Ok(Claim::InProgress { .. }) if Instant::now() < end => {}
                other => panic!("expected to acquire the key soon: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Counts the effects that everybody sees.
    pub(crate) async fn effects(&self) -> i64 {
        self.number("SELECT count(*) FROM effects").await
    }

    /// Counts the completed records that everybody sees.
    pub(crate) async fn completed(&self) -> i64 {
        self.number("SELECT count(*) FROM idempotency_keys WHERE response_status IS NOT NULL")
            .await
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let number = sqlx::query_scalar(AssertSqlSafe(sql));
        number.fetch_one(&self.postgres.pool).await.unwrap()
    }

    /// Counts the connections that the store has taken out of its pool.
    pub(crate) fn in_use(&self) -> usize {
        self.pool.size() as usize - self.pool.num_idle()
    }

    pub(crate) async fn terminate(&self, pid: i32) {
        let sql = format!("SELECT pg_terminate_backend({pid})");
        self.postgres.execute(&sql).await;
        eventually("the backend ends", async || {
            let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
            self.number(&sql).await == 0
        })
        .await;
    }

    /// Asserts that there is one effect and its record, or neither, and says which.
    pub(crate) async fn is_done(&self) -> bool {
        let (effects, records) = (self.effects().await, self.completed().await);
        assert_eq!(
            effects, records,
            "an effect without a record, or a record without"
        );
        assert!(effects <= 1, "{effects} effects of one key");
        effects == 1
    }
}

impl Running {
    fn new(mut execution: TransactionExecution) -> Self {
        let mut extensions = Extensions::new();
        execution.install(&mut extensions);
        Self {
            execution,
            extensions,
        }
    }

    pub(crate) fn tx(&self) -> Tx {
        Tx::take_from(&self.extensions).unwrap()
    }

    /// Writes one effect, as a handler does, and gives the transaction back.
    pub(crate) async fn write(&self) {
        write(&mut self.tx()).await;
    }

    /// Returns the process that the transaction runs in.
    pub(crate) async fn pid(&self) -> i32 {
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()");
        pid.fetch_one(&mut *self.tx()).await.unwrap()
    }

    pub(crate) async fn complete(&mut self) -> Result<Settled, StoreError> {
        self.execution.complete(&completed(200)).await
    }
}

pub(crate) async fn write(tx: &mut Tx) {
    let done = sqlx::query("INSERT INTO effects VALUES (1)").execute(&mut **tx);
    assert_eq!(done.await.unwrap().rows_affected(), 1);
}

/// A claim of the key by another execution, with another request.
pub(crate) fn differing(request: &ClaimRequest) -> ClaimRequest {
    let other = Fingerprint::from_bytes(&[1; Fingerprint::BYTES]).unwrap();
    ClaimRequest::new(request.scope.clone(), request.key.clone(), other)
}

/// Waits until it is so, for a bounded time.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

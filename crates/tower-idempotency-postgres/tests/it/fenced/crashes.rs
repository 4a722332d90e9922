//! A server that is killed, with a log that reaches the disk late.

use std::{
    path::Path,
    process::Command,
    str::FromStr,
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor, PgConnection, PgPool, postgres::PgConnectOptions};
use throwaway_postgres::{Binaries, Server};
use tokio::time::sleep;
use tower_idempotency_core::{
    Attempt, Claim, Execution, FencedTransaction, Settled, Standing, Steps, Store,
};
use tower_idempotency_postgres::{ClaimDurability, FencedExecution, FencedStore, PostgresStore};
use tower_idempotency_testkit::run;

use super::through::fence;
use crate::support::{completed, pool, request};

/// A server of the test's own, that is going to be killed.
struct Bench {
    server: Server,
    pool: PgPool,
    store: FencedStore,
}

async fn bench(claims: ClaimDurability) -> Bench {
    with_lanes(claims, 2).await
}

/// With so many connections for batches; with none, every claim goes by itself.
async fn with_lanes(claims: ClaimDurability, lanes: usize) -> Bench {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let binaries = Binaries::provide(None, &root.join("target").join("postgres")).unwrap();
    let settings = [
        ("wal_writer_delay", "10s"),
        ("full_page_writes", "off"),
        ("autovacuum", "off"),
    ];
    let server = Server::start_with(&binaries, &std::env::temp_dir(), &settings).unwrap();
    let options = PgConnectOptions::from_str(&server.url()).unwrap();
    let pool = pool(&options, 4).await;
    let store = PostgresStore::builder(pool.clone()).batch_connections(lanes);
    let store = store.build().unwrap();
    store.migrate().await.unwrap();
    pool.execute("CREATE TABLE effects (n int)").await.unwrap();
    let builder = store.fenced_builder().claim_durability(claims);
    Bench {
        server,
        pool,
        store: builder.build(),
    }
}

impl Bench {
    /// Claims, with nothing before the claim on the last page of the log, and nobody but other
    /// commits who would write it to the disk.
    async fn claim(&self) -> FencedExecution {
        let pid: i32 =
            sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
                .fetch_one(&self.pool)
                .await
                .unwrap();
        self.pool.execute("SELECT pg_switch_wal()").await.unwrap();
        let stopped = Command::new("kill")
            .args(["-STOP", &pid.to_string()])
            .status();
        assert!(stopped.unwrap().success());
        self.acquire().await
    }

    async fn acquire(&self) -> FencedExecution {
        match self.insist().await {
            Claim::Acquired(execution) => execution,
            other => panic!("expected to acquire the key: {other:?}"),
        }
    }

    /// Claims until the store says what came of it: after a crash the pool's connections are
    /// broken, more of them than one claim tries.
    async fn insist(&self) -> Claim<FencedExecution> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match self.store.claim(&request("k")).await {
                Ok(claim) => return claim,
                Err(error) => assert!(Instant::now() < end, "{error:?}"),
            }
        }
    }

    /// Kills every process of the server, and starts it again.
    async fn crash(&self) {
        self.server.kill().unwrap();
        self.server.start_again().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while PgConnection::connect(&self.server.url()).await.is_err() {
            assert!(Instant::now() < end, "the server does not come back");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        // A connection of its own: those of the pool are broken, and find out one by one.
        let mut connection = PgConnection::connect(&self.server.url()).await.unwrap();
        let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
        number.unwrap()
    }

    async fn records(&self) -> i64 {
        self.number("SELECT count(*) FROM idempotency_keys").await
    }

    async fn effects(&self) -> i64 {
        self.number("SELECT count(*) FROM effects").await
    }

    /// Does what a handler does.
    async fn handle(&self, execution: &mut FencedExecution) -> sqlx::Result<Settled> {
        let mut connection = PgConnection::connect(&self.server.url()).await?;
        let mut transaction = connection.begin().await?;
        transaction
            .execute("INSERT INTO effects VALUES (1)")
            .await?;
        let kept = transaction.complete(&fence(execution), &completed(7)).await;
        let kept = kept.unwrap();
        transaction.commit().await?;
        Ok(kept)
    }
}

#[test]
fn a_claim_that_a_crash_took_cannot_be_committed() {
    for lanes in [2, 0] {
        cannot_be_committed_after_a_crash(lanes);
    }
}

fn cannot_be_committed_after_a_crash(lanes: usize) {
    run(async move {
        let bench = with_lanes(ClaimDurability::WithTheCommit, lanes).await;
        let mut first = bench.claim().await;
        assert_eq!(bench.records().await, 1);
        bench.crash().await;
        assert_eq!(bench.records().await, 0, "the claim has reached the disk");
        assert!(bench.handle(&mut first).await.is_err());
        assert_eq!(bench.effects().await, 0);

        let mut retry = bench.acquire().await;
        assert_eq!(retry.attempt(), Attempt::FIRST);
        assert!(bench.handle(&mut first).await.is_err());
        assert_eq!(bench.handle(&mut retry).await.unwrap(), Settled::Applied);
        assert!(bench.handle(&mut first).await.is_err());
        assert_eq!(first.standing().await.unwrap(), Standing::Lost);
        assert_eq!((bench.effects().await, bench.records().await), (1, 1));
    });
}

/// So the other tests show something.
#[test]
fn a_durable_claim_outlasts_a_crash() {
    run(async {
        let bench = bench(ClaimDurability::BeforeTheHandler).await;
        let mut first = bench.claim().await;
        bench.crash().await;
        assert_eq!(bench.records().await, 1);
        assert_eq!(bench.handle(&mut first).await.unwrap(), Settled::Applied);
        assert_eq!(bench.effects().await, 1);
    });
}

#[test]
fn a_durable_effect_has_a_durable_claim() {
    run(async {
        let bench = bench(ClaimDurability::WithTheCommit).await;
        let mut first = bench.claim().await;
        assert_eq!(bench.handle(&mut first).await.unwrap(), Settled::Applied);
        bench.crash().await;
        assert_eq!((bench.effects().await, bench.records().await), (1, 1));
        let found = bench.insist().await;
        assert!(matches!(found, Claim::Completed(_)), "{found:?}");
    });
}

#[test]
fn a_kept_step_has_a_durable_claim() {
    run(async {
        let bench = bench(ClaimDurability::WithTheCommit).await;
        let first = bench.claim().await;
        let steps = Steps::from(r#"{"charge":1}"#.to_owned());
        let kept = first.steps().keep(&steps).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        bench.crash().await;
        assert_eq!(bench.records().await, 1);
    });
}

#[test]
fn a_step_is_not_kept_whose_claim_a_crash_took() {
    run(async {
        let bench = bench(ClaimDurability::WithTheCommit).await;
        let first = bench.claim().await;
        bench.crash().await;
        let steps = Steps::from(r#"{"charge":1}"#.to_owned());
        let kept = loop {
            if let Ok(kept) = first.steps().keep(&steps).await {
                break kept;
            }
        };
        assert_eq!(kept, Settled::Stale);
    });
}

//! Many clients, while connections are ended and answers get lost.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::Extensions;
use sqlx::Executor;
use tower_idempotency_core::{Claim, Execution, Settled, Store, StoreErrorKind};
use tower_idempotency_postgres::{Isolation, TransactionExecution, Tx};
use tower_idempotency_testkit::run;

use super::support::{Bench, proxied};
use crate::support::{completed, request};

const CLIENTS: usize = 8;
const KEYS: usize = 24;
const UNREST: Duration = Duration::from_millis(2_500);
const BOUND: Duration = Duration::from_secs(30);

/// What each execution was told in the end, by the number of its effect.
#[derive(Default)]
struct Told {
    number: AtomicI32,
    committed: Mutex<Vec<i32>>,
    undone: Mutex<Vec<i32>>,
}

impl Told {
    /// Runs one execution to its end, as the layer does: it asks until it knows.
    async fn execute(&self, mut execution: TransactionExecution) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut extensions = Extensions::new();
        execution.install(&mut extensions);
        let mut tx = Tx::take_from(&extensions).unwrap();
        let sql = sqlx::query("INSERT INTO effects VALUES ($1)").bind(number);
        let _ = sql.execute(&mut *tx).await;
        drop(tx);
        loop {
            let told = match execution.complete(&completed(50)).await {
                Ok(Settled::Applied) => &self.committed,
                Ok(Settled::Stale) => &self.undone,
                Err(error) if error.kind().is_undone() => &self.undone,
                Err(error) => {
                    assert_eq!(error.kind(), StoreErrorKind::CommitUnknown);
                    continue;
                }
            };
            told.lock().unwrap().push(number);
            return;
        }
    }
}

/// A client that sends its key until it has a response.
async fn client(bench: &Bench, told: &Told, key: usize) {
    let end = Instant::now() + BOUND;
    loop {
        match bench.store.claim(&request(&format!("k-{key}"))).await {
            Ok(Claim::Completed(_)) => return,
            Ok(Claim::Acquired(execution)) => told.execute(execution).await,
            Ok(Claim::InProgress { .. }) | Err(_) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(other) => panic!("unexpected: {other:?}"),
        }
        assert!(Instant::now() < end, "a key is stuck");
    }
}

/// Ends the store's sessions again and again.
async fn unrest(bench: &Bench, is_over: &AtomicBool) {
    let end = Instant::now() + UNREST;
    while Instant::now() < end && !is_over.load(Ordering::Relaxed) {
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = current_schema() AND random() < 0.2";
        bench.postgres.pool.execute(kill).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn hammer(isolation: Isolation) {
    let set = |builder: tower_idempotency_postgres::TransactionalStoreBuilder| {
        builder.isolation(isolation)
    };
    let (bench, proxy) = proxied(Duration::from_secs(2), set).await;
    proxy.swallow_commit_replies(300);
    let told = Told::default();
    let is_over = AtomicBool::new(false);
    let clients = async {
        let all = (0..CLIENTS).map(|number| {
            let (bench, told) = (&bench, &told);
            async move {
                for round in 0..KEYS {
                    client(bench, told, (number * 3 + round) % KEYS).await;
                }
            }
        });
        join_all(all).await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(clients, unrest(&bench, &is_over));
    assert!(proxy.swallowed() > 0, "no answer got lost");
    assert_truth(&bench, &told).await;
}

/// Each key has one effect, and each execution was told whether it is its own.
async fn assert_truth(bench: &Bench, told: &Told) {
    let effects: Vec<i32> = sqlx::query_scalar("SELECT n FROM effects ORDER BY n")
        .fetch_all(&bench.postgres.pool)
        .await
        .unwrap();
    assert_eq!(effects.len(), KEYS);
    assert_eq!(bench.completed().await, effects.len() as i64);
    let mut committed = told.committed.lock().unwrap().clone();
    committed.sort_unstable();
    assert_eq!(committed, effects);
    let undone = told.undone.lock().unwrap();
    assert!(undone.iter().all(|number| !effects.contains(number)));
}

#[test]
fn every_key_has_one_effect_and_every_execution_is_told_the_truth() {
    run(hammer(Isolation::ReadCommitted));
}

#[test]
fn the_same_holds_for_serializable_transactions() {
    run(hammer(Isolation::Serializable));
}

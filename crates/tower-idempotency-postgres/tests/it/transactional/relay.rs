//! Connections that pass from one transaction to the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use tower_idempotency_core::Settled;
use tower_idempotency_postgres::TransactionalStoreBuilder;
use tower_idempotency_testkit::run;

use super::support::{Bench, over};
use crate::support::{postgres, request};

/// A store on few connections, and how often the pool has given one away.
async fn narrow(
    connections: u32,
    set: impl FnOnce(TransactionalStoreBuilder) -> TransactionalStoreBuilder,
) -> (Arc<Bench>, Arc<AtomicU32>) {
    let postgres = postgres().await;
    let taken = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&taken);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .acquire_timeout(Duration::from_secs(30))
        .before_acquire(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Ok(true) })
        })
        .connect_with(postgres.options.clone())
        .await
        .unwrap();
    let bench = over(postgres, pool, Duration::from_secs(20), set).await;
    (Arc::new(bench), taken)
}

/// Many requests at once, each of which has an effect.
async fn crowd(bench: &Arc<Bench>, requests: u32) {
    let mut running = JoinSet::new();
    for number in 0..requests {
        let bench = Arc::clone(bench);
        running.spawn(async move {
            let mut running = bench.acquire(&request(&format!("k-{number}"))).await;
            running.write().await;
            assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    assert_eq!(bench.effects().await, i64::from(requests));
    assert_eq!(bench.completed().await, i64::from(requests));
}

#[test]
fn a_crowd_shares_few_connections() {
    run(async {
        let (bench, taken) = narrow(2, |builder| builder).await;
        crowd(&bench, 200).await;
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken < 200, "the pool gave {taken} connections away");
        assert_eq!(bench.pool.size(), 2);
    });
}

#[test]
fn nothing_is_passed_on_if_that_is_not_wanted() {
    run(async {
        let (bench, taken) = narrow(2, |builder| builder.pass_connections_on(false)).await;
        crowd(&bench, 50).await;
        // Opening a connection is not counted.
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken >= 48, "the pool gave {taken} connections away");
    });
}

/// Requests that keep coming pass the only connection on, and there is always one that waits.
#[test]
fn others_get_their_turn_at_the_pool() {
    run(async {
        let (bench, _) = narrow(1, |builder| builder).await;
        let mut busy = JoinSet::new();
        for client in 0..8 {
            let bench = Arc::clone(&bench);
            busy.spawn(async move {
                for number in 0_u64.. {
                    let mut running = bench.acquire(&request(&format!("{client}-{number}"))).await;
                    assert_eq!(running.complete().await.unwrap(), Settled::Applied);
                }
            });
        }
        let begun = Instant::now();
        for _ in 0..5 {
            let turn = tokio::time::timeout(Duration::from_secs(10), bench.pool.acquire());
            drop(turn.await.expect("a turn in time").unwrap());
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        busy.shutdown().await;
    });
}

/// A claim that is given up while it waits must not take a connection with it.
#[test]
fn who_waits_no_longer_gives_the_connection_back() {
    run(async {
        let (bench, _) = narrow(1, |builder| builder).await;
        for number in 0..50 {
            let mut first = bench.acquire(&request(&format!("first-{number}"))).await;
            let waiting = tokio::spawn({
                let bench = Arc::clone(&bench);
                async move { drop(bench.acquire(&request("given-up")).await) }
            });
            tokio::task::yield_now().await;
            if number % 2 == 0 {
                waiting.abort();
                assert_eq!(first.complete().await.unwrap(), Settled::Applied);
            } else {
                assert_eq!(first.complete().await.unwrap(), Settled::Applied);
                waiting.abort();
            }
            drop(waiting.await);
            let mut next = bench
                .acquire_soon(&request(&format!("next-{number}")))
                .await;
            assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        }
        assert_eq!(bench.completed().await, 100);
    });
}

#[test]
fn a_pool_that_is_closed_is_given_its_connections_back() {
    run(async {
        let (bench, _) = narrow(2, |builder| builder).await;
        let mut running = JoinSet::new();
        for number in 0..50 {
            let bench = Arc::clone(&bench);
            running.spawn(async move {
                let key = request(&format!("k-{number}"));
                let claim = tower_idempotency_core::Store::claim(&bench.store, &key).await;
                drop(claim);
            });
        }
        tokio::task::yield_now().await;
        let closed = tokio::time::timeout(Duration::from_secs(10), bench.pool.close()).await;
        assert!(closed.is_ok(), "somebody has kept a connection");
        running.join_all().await;
    });
}

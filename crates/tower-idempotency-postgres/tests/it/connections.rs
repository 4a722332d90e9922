//! Connections that go from one operation to the next.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use sqlx::{Executor, PgPool, postgres::PgPoolOptions};
use tower_idempotency_core::{Execution, FencedCommit, Release, Settled, Store};
use tower_idempotency_postgres::{Effect, PostgresStore};
use tower_idempotency_testkit::run;

use crate::{
    fence::{bench, fence},
    support::{Postgres, acquire, completed, request},
};

/// A store on a pool of its own that counts how often it gives a connection away.
struct Counted {
    postgres: Postgres,
    pool: PgPool,
    given: Arc<AtomicUsize>,
    store: PostgresStore,
}

async fn counted(connections: u32, pass_on: bool) -> Counted {
    let postgres = bench().await;
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .before_acquire(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(true) })
        })
        .connect_with(postgres.options.clone())
        .await
        .unwrap();
    let builder = PostgresStore::builder(pool.clone()).batch_connections(0);
    let store = builder.pass_connections_on(pass_on).build().unwrap();
    Counted {
        postgres,
        pool,
        given,
        store,
    }
}

impl Counted {
    /// Runs so many operations that all wait for the connections at once; returns how many of them
    /// got theirs from the pool.
    async fn given_for(&self, operations: usize) -> usize {
        let mut held = Vec::new();
        for _ in 0..self.pool.options().get_max_connections() {
            held.push(self.pool.acquire().await.unwrap());
        }
        let before = self.given.load(Ordering::Relaxed);
        let lookups = join_all((0..operations).map(|_| self.lookup()));
        // The operations are asked first, and so all wait when the connections come back.
        tokio::join!(lookups, async { drop(held) });
        self.given.load(Ordering::Relaxed) - before
    }

    async fn lookup(&self) {
        let found = self.store.lookup(&request("k").id).await;
        assert_eq!(found.unwrap(), None);
    }
}

#[test]
fn a_connection_goes_from_one_to_the_next_sixteen_times_in_a_row() {
    run(async {
        assert_eq!(counted(1, true).await.given_for(33).await, 3);
        assert_eq!(counted(1, false).await.given_for(33).await, 33);
    });
}

/// Somebody who knows nothing of the store waits for the pool, behind a few and before many.
#[test]
fn others_who_wait_for_the_pool_are_not_passed_over_for_long() {
    run(async {
        let counted = counted(1, true).await;
        let held = counted.pool.acquire().await.unwrap();
        let done = AtomicUsize::new(0);
        let lookup = async || {
            counted.lookup().await;
            done.fetch_add(1, Ordering::Relaxed);
        };
        let other = async {
            let _pooled = counted.pool.acquire().await.unwrap();
            done.load(Ordering::Relaxed)
        };
        let few = join_all((0..4).map(|_| lookup()));
        let many = join_all((0..60).map(|_| lookup()));
        let release = async { drop(held) };
        let (_, before_it, _, ()) = tokio::join!(few, other, many, release);
        assert!(before_it <= 16, "{before_it}");
        assert_eq!(done.load(Ordering::Relaxed), 64);
    });
}

#[test]
fn whoever_gave_up_waiting_is_passed_by() {
    run(async {
        let counted = counted(1, true).await;
        let held = counted.pool.acquire().await.unwrap();
        {
            let mut gone: Vec<_> = (0..3).map(|_| Box::pin(counted.lookup())).collect();
            for lookup in &mut gone {
                assert!(futures_util::poll!(lookup).is_pending());
            }
        }
        tokio::join!(counted.lookup(), async { drop(held) });
        assert_eq!(counted.given_for(16).await, 1);
    });
}

/// What its state is, the pool finds out.
#[test]
fn a_connection_on_which_a_statement_failed_goes_back_to_the_pool() {
    run(async {
        let counted = counted(1, true).await;
        let index = "CREATE UNIQUE INDEX ON effects (n); INSERT INTO effects VALUES (1)";
        let setup = sqlx::raw_sql(index);
        counted.postgres.pool.execute(setup).await.unwrap();
        let mut execution = acquire(&counted.store, &request("effect")).await;
        let fence = fence(&mut execution);
        let kept = completed(7);
        let held = counted.pool.acquire().await.unwrap();
        let before = counted.given.load(Ordering::Relaxed);
        let effect = Effect::new("INSERT INTO effects VALUES (1)");
        let (refused, ..) = tokio::join!(
            effect.complete_and_commit(&fence, &kept),
            counted.lookup(),
            counted.lookup(),
            async { drop(held) },
        );
        assert!(refused.is_err());
        assert_eq!(counted.given.load(Ordering::Relaxed) - before, 2);
        let free = Release::Free;
        assert_eq!(execution.release(&free).await.unwrap(), Settled::Applied);
    });
}

/// Whoever opens a connection goes on with it, though another one comes along.
#[test]
fn a_pool_under_load_opens_all_its_connections() {
    run(async {
        let counted = counted(4, true).await;
        let store = counted.store.clone();
        let load = (0..16).map(|_| async {
            for _ in 0..50 {
                let found = store.lookup(&request("k").id).await;
                assert_eq!(found.unwrap(), None);
            }
        });
        join_all(load).await;
        assert_eq!(counted.pool.size(), 4);
    });
}

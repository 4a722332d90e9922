//! Connections that go from one operation to the next.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::{
    future::{BoxFuture, Either, join_all, select},
    poll,
};
use sqlx::{
    Executor, PgConnection, PgPool, Postgres as Sql,
    pool::{PoolConnection, PoolConnectionMetadata},
    postgres::PgPoolOptions,
};
use tokio::{sync::Notify, task::yield_now};
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
    let store = store_on(&pool, pass_on);
    Counted {
        postgres,
        pool,
        given,
        store,
    }
}

fn store_on(pool: &PgPool, pass_on: bool) -> PostgresStore {
    let builder = PostgresStore::builder(pool.clone()).batch_connections(0);
    builder.pass_connections_on(pass_on).build().unwrap()
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
                assert!(poll!(lookup).is_pending());
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

/// Stops whoever comes by once it is set, until it is opened.
#[derive(Clone, Default)]
struct Gate {
    set: Arc<AtomicBool>,
    reached: Arc<Notify>,
    opened: Arc<Notify>,
}

impl Gate {
    /// A hook of the pool's that leads past the gate.
    fn hook<T: Copy + Send + 'static>(
        &self,
        result: T,
    ) -> impl Fn(&mut PgConnection, PoolConnectionMetadata) -> BoxFuture<'_, sqlx::Result<T>> + use<T>
    {
        let gate = self.clone();
        move |_, _| {
            let gate = gate.clone();
            Box::pin(async move {
                gate.pass().await;
                Ok(result)
            })
        }
    }

    async fn pass(&self) {
        if self.set.swap(false, Ordering::Relaxed) {
            self.reached.notify_one();
            self.opened.notified().await;
        }
    }
}

/// Begins two operations when `held`, one connection of a pool of two, is out. The first one is
/// stopped at the gate, on its way to the other one, which may be out before, as `its`; and the
/// second one is done before that.
async fn one_overtakes_the_other(
    pool: &PgPool,
    gate: &Gate,
    its: Option<PoolConnection<Sql>>,
    held: PoolConnection<Sql>,
) {
    let store = store_on(pool, true);
    let id = request("k").id;
    gate.set.store(true, Ordering::Relaxed);
    let mut first = pin!(store.lookup(&id));
    assert!(poll!(&mut first).is_pending());
    drop(its);
    let reached = pin!(gate.reached.notified());
    assert!(matches!(
        select(&mut first, reached).await,
        Either::Right(_)
    ));

    let mut second = pin!(store.lookup(&id));
    assert!(poll!(&mut second).is_pending());
    drop(held);
    assert_eq!(second.await.unwrap(), None);
    assert!(poll!(&mut first).is_pending());
    gate.opened.notify_one();
    assert_eq!(first.await.unwrap(), None);
}

/// Whoever gave up a connection that the pool asks just then would close it.
#[test]
fn whoever_is_given_a_connection_by_the_pool_is_passed_no_other() {
    run(async {
        let postgres = bench().await;
        let gate = Gate::default();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            // Else it would be woken by what the server says.
            .test_before_acquire(false)
            .before_acquire(gate.hook(true))
            .connect_with(postgres.options.clone())
            .await
            .unwrap();
        let one = pool.acquire().await.unwrap();
        let other = pool.acquire().await.unwrap();
        one_overtakes_the_other(&pool, &gate, Some(one), other).await;
        assert_eq!(pool.size(), 2);

        // The same of a connection that is there from the first.
        let one = pool.acquire().await.unwrap();
        let other = pool.acquire().await.unwrap();
        drop(one);
        while pool.num_idle() != 1 {
            yield_now().await;
        }
        one_overtakes_the_other(&pool, &gate, None, other).await;
        assert_eq!(pool.size(), 2);
    });
}

/// The same of a connection that is being opened: a pool under load would never have all of its own.
#[test]
fn whoever_opens_a_connection_is_passed_no_other() {
    run(async {
        let postgres = bench().await;
        let gate = Gate::default();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .after_connect(gate.hook(()))
            .connect_with(postgres.options.clone())
            .await
            .unwrap();
        let held = pool.acquire().await.unwrap();
        one_overtakes_the_other(&pool, &gate, None, held).await;
        assert_eq!(pool.size(), 2);
    });
}

//! Nobody waits for a row that somebody else holds.

use std::time::{Duration, Instant};

use sqlx::{Executor, Postgres, Transaction};
use tower_idempotency_core::{Claim, Execution, Renewal, Store};
use tower_idempotency_testkit::{Harness, run};

use crate::support::{acquire, complete, postgres, request};

/// Holds every row, as a handler's transaction would that has completed its key.
async fn hold(postgres: &crate::support::Postgres) -> Transaction<'static, Postgres> {
    let mut transaction = postgres.pool.begin().await.unwrap();
    let lock = "SELECT FROM idempotency_keys FOR UPDATE";
    transaction.execute(lock).await.unwrap();
    transaction
}

#[test]
fn a_duplicate_does_not_wait_for_a_held_row() {
    run(async {
        let postgres = postgres().await;
        let _execution = acquire(&postgres.store, &request("k")).await;
        let holder = hold(&postgres).await;
        let begun = Instant::now();
        let claim = postgres.store.claim(&request("k")).await.unwrap();
        assert!(matches!(claim, Claim::InProgress { .. }));
        assert!(begun.elapsed() < Duration::from_secs(2));
        holder.rollback().await.unwrap();
    });
}

#[test]
fn a_replay_does_not_wait_for_a_held_row() {
    run(async {
        let postgres = postgres().await;
        complete(&mut acquire(&postgres.store, &request("k")).await).await;
        let holder = hold(&postgres).await;
        let claim = postgres.store.claim(&request("k")).await.unwrap();
        assert!(matches!(claim, Claim::Completed(_)));
        holder.rollback().await.unwrap();
    });
}

#[test]
fn a_dead_lease_whose_row_is_held_counts_as_in_progress() {
    run(async {
        let postgres = postgres().await;
        let _dead = acquire(&postgres.store, &request("k")).await;
        postgres.advance(Duration::from_secs(60)).await;
        let holder = hold(&postgres).await;
        let claim = postgres.store.claim(&request("k")).await.unwrap();
        assert!(matches!(claim, Claim::InProgress { .. }));
        holder.rollback().await.unwrap();
        let _execution = acquire(&postgres.store, &request("k")).await;
    });
}

#[test]
fn a_renewal_does_not_wait_for_a_held_row() {
    run(async {
        let postgres = postgres().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let holder = hold(&postgres).await;
        assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
        holder.rollback().await.unwrap();
    });
}

#[test]
fn a_sweep_does_not_wait_for_a_held_row() {
    run(async {
        let postgres = postgres().await;
        complete(&mut acquire(&postgres.store, &request("k")).await).await;
        postgres
            .advance(Duration::from_secs(30 * 24 * 60 * 60))
            .await;
        let holder = hold(&postgres).await;
        assert_eq!(postgres.store.sweep(10).await.unwrap().deleted, 0);
        holder.rollback().await.unwrap();
        assert_eq!(postgres.store.sweep(10).await.unwrap().deleted, 1);
    });
}

/// Records of one moment that have to stay fill each batch that begins there.
#[test]
fn a_sweep_that_meets_only_held_rows_comes_to_an_end() {
    run(async {
        let postgres = postgres().await;
        for key in ["a", "b", "c"] {
            complete(&mut acquire(&postgres.store, &request(key)).await).await;
        }
        postgres
            .advance(Duration::from_secs(30 * 24 * 60 * 60))
            .await;
        let at_once =
            "UPDATE idempotency_keys SET sweep_at = (SELECT min(sweep_at) FROM idempotency_keys)";
        postgres.execute(at_once).await;
        let holder = hold(&postgres).await;
        let swept = postgres.store.sweep(2).await.unwrap();
        assert_eq!((swept.deleted, swept.more), (0, true));
        let swept = postgres.store.sweep(2).await.unwrap();
        assert_eq!((swept.deleted, swept.more), (0, false));
        holder.rollback().await.unwrap();
        let swept = postgres.store.sweep(10).await.unwrap();
        assert_eq!((swept.deleted, swept.more), (3, false));
    });
}

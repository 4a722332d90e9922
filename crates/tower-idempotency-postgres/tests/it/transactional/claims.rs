//! What a claim comes to, and what it holds.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tower_idempotency_core::{
    Attempt, Claim, Execution, Failure, Fingerprint, Release, Settled, Standing, Store,
    StoreErrorKind,
};
use tower_idempotency_postgres::TxUnavailable;
use tower_idempotency_testkit::{Harness, run};

use super::support::{bench, differing, eventually, over, proxied, write};
use crate::support::{completed, pool, postgres, request};

/// The locks of this schema's keys, made of the table's number as the store makes them.
const KEY_LOCKS: &str = "
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid::bigint > 2147483647
      AND (pid, 'idempotency_keys'::regclass) IN (SELECT pid, relation FROM pg_locks)";

#[test]
fn a_fresh_key_is_acquired_and_leaves_no_record() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        assert_eq!(running.execution.attempt(), Attempt::FIRST);
        let standing = running.execution.standing().await.unwrap();
        assert_eq!(standing, Standing::InProgress);
        let records = bench.number("SELECT count(*) FROM idempotency_keys");
        assert_eq!(records.await, 0);
    });
}

/// Locks are made of the table's number, which a store remembers.
#[test]
fn whoever_knows_only_an_older_table_minds_the_locks_of_the_present_one() {
    run(async {
        let bench = bench().await;
        let mut first = bench.acquire(&request("first")).await;
        assert_eq!(first.complete().await.unwrap(), Settled::Applied);
        let dropped = sqlx::query("DROP TABLE idempotency_keys").execute(&bench.pool);
        dropped.await.unwrap();
        bench.store.store().migrate().await.unwrap();

        let other = bench.store.store().clone().transactional();
        let taken = other.claim(&request("taken")).await.unwrap();
        assert!(matches!(taken, Claim::Acquired(_)), "{taken:?}");
        assert_eq!(bench.refused(&request("taken")).await, "in progress");

        let mut second = bench.acquire(&request("second")).await;
        let theirs = other.claim(&request("second")).await.unwrap();
        assert!(matches!(theirs, Claim::InProgress { .. }), "{theirs:?}");
        assert_eq!(second.complete().await.unwrap(), Settled::Applied);
    });
}

#[test]
fn one_of_many_claims_wins_and_the_others_hold_nothing() {
    run(async {
        let bench = bench().await;
        let claims =
            join_all((0..24).map(|_| async { bench.store.claim(&request("k")).await.unwrap() }));
        let mut winners = Vec::new();
        for claim in claims.await {
            match claim {
                Claim::Acquired(execution) => winners.push(execution),
                Claim::InProgress { remaining } => assert!(!remaining.is_zero()),
                other => panic!("neither acquired nor in progress: {other:?}"),
            }
        }
        assert_eq!(winners.len(), 1);
        eventually("the losers' connections are back", async || {
            bench.in_use() == 1
        })
        .await;
        assert_eq!(bench.number(KEY_LOCKS).await, 1);
        let settled = winners[0].complete(&completed(1)).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        eventually("the winner's connection is back", async || {
            bench.in_use() == 0
        })
        .await;
    });
}

#[test]
fn a_completed_key_is_answered_and_its_connection_given_back() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        let standing = running.execution.standing().await.unwrap();
        assert_eq!(standing, Standing::Completed);
        match bench.store.claim(&request("k")).await.unwrap() {
            Claim::Completed(kept) => assert_eq!(kept.response.body().unwrap().len(), 200),
            other => panic!("expected a kept response: {other:?}"),
        }
        eventually("nothing is held", async || bench.in_use() == 0).await;
    });
}

/// Who finds out how a commit ended has the lock for a moment, and what it may find is there already.
#[test]
fn a_completed_key_is_answered_while_somebody_has_its_lock() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        let id = request("k").id;
        let number = i64::from_be_bytes(id.as_bytes()[..8].try_into().unwrap());
        let mut other = bench.postgres.pool.begin().await.unwrap();
        let lock = "SELECT idempotency_keys_lock($1, $2, 'other', '30000', '15', '3')";
        let locked: Option<bool> = sqlx::query_scalar(lock)
            .bind(id.as_bytes().as_slice())
            .bind(number)
            .fetch_one(&mut *other)
            .await
            .unwrap();
        assert_eq!(locked, Some(true));
        assert_eq!(bench.refused(&request("k")).await, "completed");
        let expired = "UPDATE idempotency_keys SET expires_at = now() - interval '1 second'";
        bench.postgres.execute(expired).await;
        assert_eq!(bench.refused(&request("k")).await, "in progress");
        other.rollback().await.unwrap();
        assert_eq!(bench.refused(&request("k")).await, "acquired");
    });
}

#[test]
fn another_request_is_in_progress_first_and_a_mismatch_then() {
    run(async {
        let bench = bench().await;
        let mut first = request("k");
        first.fingerprint = Fingerprint::from_bytes(&[1; Fingerprint::BYTES]).unwrap();
        let mut other = request("k");
        let mut bytes = [2; Fingerprint::BYTES];
        bytes[0] = 1;
        other.fingerprint = Fingerprint::from_bytes(&bytes).unwrap();
        let mut running = bench.acquire(&first).await;
        assert_eq!(bench.refused(&other).await, "in progress");
        let _ = running.complete().await.unwrap();
        assert_eq!(bench.refused(&other).await, "mismatch");
    });
}

#[test]
fn an_expired_key_is_begun_anew() {
    run(async {
        let bench = bench().await;
        let _ = bench.acquire(&request("k")).await.complete().await.unwrap();
        bench
            .postgres
            .advance(Duration::from_secs(8 * 24 * 60 * 60))
            .await;
        let mut running = bench.acquire(&differing(&request("k"))).await;
        assert_eq!(running.execution.attempt(), Attempt::FIRST);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        let record = bench.store.lookup(&request("k").id).await.unwrap().unwrap();
        assert_eq!(record.info.attempt, 1);
        let age = "SELECT count(*) FROM idempotency_keys
                   WHERE created_at > clock_timestamp() - interval '1 hour'";
        assert_eq!(bench.number(age).await, 1);
    });
}

#[test]
fn a_failed_key_is_claimed_again_until_it_is_exhausted() {
    run(async {
        let bench = bench().await;
        let mut bounded = request("k");
        bounded.max_attempts = NonZeroU32::new(2);
        let failed = Release::Failed(Failure::transient("status 503"));
        for number in 1..=2 {
            let mut again = request("k");
            again.max_attempts = bounded.max_attempts;
            let mut running = bench.acquire(&again).await;
            assert_eq!(running.execution.attempt(), Attempt::new(number, false));
            let settled = running.execution.release(&failed).await.unwrap();
            assert_eq!(settled, Settled::Applied);
        }
        assert_eq!(bench.refused(&bounded).await, "exhausted");
        let mut running = bench.acquire(&differing(&bounded)).await;
        assert_eq!(running.execution.attempt(), Attempt::new(3, false));
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert_eq!(bench.completed().await, 1);
    });
}

#[test]
fn a_transaction_is_given_once_and_comes_back() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let nothing = tower_idempotency_postgres::Tx::take_from(&http::Extensions::new());
        assert_eq!(nothing.err(), Some(TxUnavailable::NoTransaction));
        let taken = running.tx();
        let again = tower_idempotency_postgres::Tx::take_from(&running.extensions);
        assert_eq!(again.err(), Some(TxUnavailable::Taken));
        drop(taken);
        write(&mut running.tx()).await;
        write(&mut running.tx()).await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert_eq!(bench.effects().await, 2);
        let late = tower_idempotency_postgres::Tx::take_from(&running.extensions);
        assert_eq!(late.err(), Some(TxUnavailable::Ended));
    });
}

#[test]
fn without_a_connection_a_claim_gives_up_within_its_bound() {
    run(async {
        let postgres = postgres().await;
        let pool = pool(&postgres.options, 1).await;
        let bound = Duration::from_millis(400);
        let bench = over(postgres, pool, bound, |builder| builder).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        for key in ["k", "other"] {
            let begun = Instant::now();
            let error = bench.store.claim(&request(key)).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Timeout);
            assert!(begun.elapsed() < bound * 10, "{:?}", begun.elapsed());
        }
        let steps = running.execution.steps();
        let error = steps.load().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        // The execution itself needs no second one.
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert_eq!(bench.refused(&request("k")).await, "completed");
    });
}

#[test]
fn duplicates_that_wait_see_the_lock() {
    run(async {
        let bench = bench().await;
        let ids = ["running", "done", "never"].map(|key| request(key).id);
        let mut running = bench.acquire(&request("running")).await;
        let _ = bench
            .acquire(&request("done"))
            .await
            .complete()
            .await
            .unwrap();
        let ended = bench.store.ended(&ids).await.unwrap();
        assert!(!ended.contains(&ids[0]));
        assert!(ended.contains(&ids[1]) && ended.contains(&ids[2]));
        let _ = running.complete().await.unwrap();
        let ended = bench.store.ended(&ids).await.unwrap();
        assert_eq!(ended.len(), 3);
    });
}

/// The sweeper's turn is an advisory lock too, of the table's number.
#[test]
fn running_keys_and_the_sweeper_do_not_meet() {
    run(async {
        let bench = bench().await;
        let _ = bench
            .acquire(&request("old"))
            .await
            .complete()
            .await
            .unwrap();
        bench
            .postgres
            .advance(Duration::from_secs(30 * 24 * 60 * 60))
            .await;
        let _running = bench.acquire(&request("k")).await;
        // Negative, where the sweeper's is not.
        assert_eq!(bench.number(KEY_LOCKS).await, 1);
        assert_eq!(bench.store.sweep(10).await.unwrap().deleted, 1);
    });
}

/// Advisory locks belong to the database, keys to a table.
#[test]
fn the_same_key_in_another_schema_is_another_key() {
    run(async {
        let (one, other) = (bench().await, bench().await);
        let mut first = one.acquire(&request("k")).await;
        let mut second = other.acquire(&request("k")).await;
        assert_eq!(first.complete().await.unwrap(), Settled::Applied);
        let id = request("k").id;
        assert_eq!(one.store.ended(&[id]).await.unwrap(), [id]);
        assert!(other.store.ended(&[id]).await.unwrap().is_empty());
        assert_eq!(second.complete().await.unwrap(), Settled::Applied);
    });
}

#[test]
fn dropped_claims_leave_the_key_usable_and_hold_nothing() {
    run(async {
        let bench = bench().await;
        for micros in (0..6_000).step_by(200) {
            let first = request("k");
            let claim = bench.store.claim(&first);
            drop(tokio::time::timeout(Duration::from_micros(micros), claim).await);
        }
        let mut running = bench.acquire_soon(&request("k")).await;
        eventually("one connection is held", async || bench.in_use() == 1).await;
        running.write().await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn an_unreadable_record_costs_no_connection() {
    run(async {
        let (bench, proxy) = proxied(Duration::from_secs(5), |builder| builder).await;
        let _ = bench.acquire(&request("k")).await.complete().await.unwrap();
        assert!(bench.postgres.damage(&request("k").id).await);
        for _ in 0..20 {
            let error = bench.store.claim(&request("k")).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unreadable);
        }
        // One that is on its way back is not there for the next claim.
        assert!(proxy.accepted() <= 8, "{} connections", proxy.accepted());
    });
}

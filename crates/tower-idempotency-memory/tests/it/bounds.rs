//! The store is full when it is full, and drops nothing that lives.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Completed, Execution, Failure, Fingerprint, IdempotencyKey,
    Release, Retention, Scope, Settled, Store, StoreErrorKind, StoredResponse,
};
use tower_idempotency_memory::{MemoryExecution, MemoryStore};
use tower_idempotency_testkit::{ManualClock, run};

/// Longer than any default retention.
const LONG: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// Room for two records and a hundred bytes.
fn small() -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let builder = MemoryStore::builder().max_records(2).max_bytes(100);
    (builder.clock(clock.clone()).build().unwrap(), clock)
}

fn request(key: &str) -> ClaimRequest {
    let key = IdempotencyKey::new(key).unwrap();
    ClaimRequest::new(Scope::new("alice", "POST /"), key, Fingerprint::OFF)
}

fn completed(bytes: usize) -> Completed {
    let response = StoredResponse::new(StatusCode::OK, &HeaderMap::new(), vec![b'x'; bytes]);
    Completed::new(response, Retention::COMPLETED)
}

async fn acquire(store: &MemoryStore, key: &str) -> MemoryExecution {
    match store.claim(&request(key)).await {
        Ok(Claim::Acquired(execution)) => execution,
        other => panic!("expected to acquire the key: {other:?}"),
    }
}

/// Claims a key and completes it with so many bytes.
async fn execute(store: &MemoryStore, key: &str, bytes: usize) {
    let mut execution = acquire(store, key).await;
    let settled = execution.complete(&completed(bytes)).await;
    assert_eq!(settled.unwrap(), Settled::Applied);
}

async fn assert_no_room_for(store: &MemoryStore, key: &str) {
    let error = store.claim(&request(key)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
}

#[test]
fn a_full_store_refuses_new_keys_and_keeps_the_old_ones() {
    run(async {
        let (store, clock) = small();
        execute(&store, "a", 10).await;
        execute(&store, "b", 10).await;
        assert_no_room_for(&store, "c").await;
        for key in ["a", "b"] {
            let claim = store.claim(&request(key)).await;
            assert!(matches!(claim, Ok(Claim::Completed(_))));
        }
        clock.advance(LONG);
        let _execution = acquire(&store, "c").await;
    });
}

#[test]
fn a_dead_lease_is_not_dropped_to_make_room() {
    run(async {
        let (store, clock) = small();
        let mut late = acquire(&store, "a").await;
        let _dead = acquire(&store, "b").await;
        clock.advance(Duration::from_secs(60));
        assert_no_room_for(&store, "c").await;
        let settled = late.complete(&completed(10)).await;
        assert_eq!(settled.unwrap(), Settled::Applied);
    });
}

#[test]
fn keys_that_are_there_can_be_claimed_in_a_full_store() {
    run(async {
        let (store, clock) = small();
        let mut failing = acquire(&store, "failed").await;
        let release = Release::Failed(Failure::transient("status 503"));
        assert_eq!(failing.release(&release).await.unwrap(), Settled::Applied);
        let _dead = acquire(&store, "dead").await;
        clock.advance(Duration::from_secs(60));
        let failed = acquire(&store, "failed").await;
        assert_eq!(failed.attempt(), Attempt::new(2, false));
        let taken = acquire(&store, "dead").await;
        assert_eq!(taken.attempt(), Attempt::new(2, true));

        clock.advance(LONG);
        let anew = acquire(&store, "failed").await;
        assert_eq!(anew.attempt(), Attempt::FIRST);
    });
}

#[test]
fn a_freed_key_leaves_its_room() {
    run(async {
        let (store, _clock) = small();
        let mut freeing = acquire(&store, "a").await;
        let _running = acquire(&store, "b").await;
        assert_no_room_for(&store, "c").await;
        let settled = freeing.release(&Release::Free).await;
        assert_eq!(settled.unwrap(), Settled::Applied);
        let _execution = acquire(&store, "c").await;
    });
}

#[test]
fn no_more_is_dropped_than_is_needed() {
    run(async {
        let (store, clock) = small();
        execute(&store, "a", 10).await;
        execute(&store, "b", 10).await;
        clock.advance(LONG);
        let _execution = acquire(&store, "c").await;
        // One expired record made room; the other is left to the sweeper.
        assert_eq!(store.sweep(10).await.unwrap().deleted, 1);
    });
}

#[test]
fn a_response_without_room_is_refused_and_its_key_stays_claimed() {
    run(async {
        let (store, _clock) = small();
        execute(&store, "a", 60).await;
        let mut second = acquire(&store, "b").await;
        let error = second.complete(&completed(41)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        let claim = store.claim(&request("b")).await;
        assert!(matches!(claim, Ok(Claim::InProgress { .. })));
        let settled = second.complete(&completed(40)).await;
        assert_eq!(settled.unwrap(), Settled::Applied);
    });
}

#[test]
fn completing_again_takes_no_room_again() {
    run(async {
        let (store, _clock) = small();
        let mut execution = acquire(&store, "a").await;
        for _ in 0..3 {
            let settled = execution.complete(&completed(60)).await;
            assert_eq!(settled.unwrap(), Settled::Applied);
        }
        execute(&store, "b", 40).await;
    });
}

#[test]
fn an_expired_response_makes_room_when_it_is_needed() {
    run(async {
        let (store, clock) = small();
        execute(&store, "a", 100).await;
        clock.advance(LONG);
        execute(&store, "b", 100).await;
        assert!(store.lookup(&request("a").id).await.unwrap().is_none());
    });
}

#[test]
fn a_response_whose_key_is_begun_anew_leaves_its_room() {
    run(async {
        let (store, clock) = small();
        execute(&store, "a", 100).await;
        clock.advance(LONG);
        let _running = acquire(&store, "a").await;
        execute(&store, "b", 100).await;
    });
}

#[test]
fn a_swept_response_leaves_its_room() {
    run(async {
        let (store, clock) = small();
        execute(&store, "a", 50).await;
        execute(&store, "b", 50).await;
        clock.advance(LONG);
        assert_eq!(store.sweep(10).await.unwrap().deleted, 2);
        assert_eq!(store.sweep(10).await.unwrap().deleted, 0);
        execute(&store, "c", 100).await;
    });
}

#[test]
fn the_largest_response_is_the_bound_on_bytes() {
    run(async {
        let (store, _clock) = small();
        assert_eq!(store.limits().max_response_bytes, 100);
        let mut execution = acquire(&store, "a").await;
        let error = execution.complete(&completed(101)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        let settled = execution.complete(&completed(100)).await;
        assert_eq!(settled.unwrap(), Settled::Applied);
    });
}

/// `Duration::MAX` beyond the present overflows the clock.
#[test]
fn a_lease_beyond_all_bounds_is_a_long_one() {
    run(async {
        let (store, clock) = small();
        let mut endless = request("a");
        endless.lease = Duration::MAX;
        let Ok(Claim::Acquired(mut execution)) = store.claim(&endless).await else {
            panic!("a fresh key is acquired");
        };
        clock.advance(100 * LONG);
        let claim = store.claim(&request("a")).await;
        assert!(matches!(claim, Ok(Claim::InProgress { .. })));
        assert!(execution.renew().await.is_ok());
    });
}

#[test]
fn clones_share_their_records() {
    run(async {
        let (store, _clock) = small();
        execute(&store.clone(), "a", 10).await;
        let claim = store.claim(&request("a")).await;
        assert!(matches!(claim, Ok(Claim::Completed(_))));
    });
}

#[test]
fn debug_output_shows_no_key() {
    run(async {
        let (store, _clock) = small();
        let execution = acquire(&store, "very-secret").await;
        let shown = format!("{store:?} {execution:?}");
        assert!(shown.contains("records: 1"), "{shown}");
        assert!(!shown.contains("very-secret"), "{shown}");
    });
}

#[test]
fn bounds_of_zero_are_refused_by_name() {
    let error = MemoryStore::builder().max_records(0).build().unwrap_err();
    assert_eq!(error.setting(), "max_records");
    let error = MemoryStore::builder().max_bytes(0).build().unwrap_err();
    assert_eq!(error.setting(), "max_bytes");
    assert!(error.to_string().contains("at least 1"), "{error}");
}

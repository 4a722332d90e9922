//! The store is full when it is full, and drops nothing that lives.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Fingerprint, IdempotencyKey, Retention, Scope,
    Settled, Store, StoreErrorKind, StoredResponse,
};
use tower_idempotency_memory::{MemoryExecution, MemoryStore};
use tower_idempotency_testkit::{ManualClock, run};

const WEEK: Duration = Duration::from_secs(8 * 24 * 60 * 60);

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

#[test]
fn a_full_store_refuses_new_keys_and_keeps_the_old_ones() {
    run(async {
        let (store, clock) = small();
        for key in ["a", "b"] {
            let settled = acquire(&store, key).await.complete(&completed(10)).await;
            assert_eq!(settled.unwrap(), Settled::Applied);
        }
        let error = store.claim(&request("c")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert!(matches!(
            store.claim(&request("a")).await,
            Ok(Claim::Completed(_))
        ));

        clock.advance(WEEK);
        let _execution = acquire(&store, "c").await;
    });
}

#[test]
fn a_response_without_room_is_refused_and_its_key_stays_claimed() {
    run(async {
        let (store, clock) = small();
        let settled = acquire(&store, "a").await.complete(&completed(60)).await;
        assert_eq!(settled.unwrap(), Settled::Applied);
        let mut second = acquire(&store, "b").await;
        let error = second.complete(&completed(60)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
        assert!(matches!(
            store.claim(&request("b")).await,
            Ok(Claim::InProgress { .. })
        ));
        assert_eq!(
            second.complete(&completed(40)).await.unwrap(),
            Settled::Applied
        );
        clock.advance(WEEK);
        assert_eq!(store.sweep(10).await.unwrap().deleted, 2);
        let settled = acquire(&store, "c").await.complete(&completed(100)).await;
        assert_eq!(settled.unwrap(), Settled::Applied);
    });
}

#[test]
fn bounds_of_zero_are_refused_by_name() {
    let error = MemoryStore::builder().max_records(0).build().unwrap_err();
    assert_eq!(error.setting(), "max_records");
    let error = MemoryStore::builder().max_bytes(0).build().unwrap_err();
    assert_eq!(error.setting(), "max_bytes");
}

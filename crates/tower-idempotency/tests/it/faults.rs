//! Stores that fail, and answers that get lost.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use http::StatusCode;
use tower_idempotency_core::StoreErrorKind;
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{FaultStore, Verb, run};

use crate::support::{builder, counting, send, send_until, store, wrap};

#[test]
fn a_claim_that_fails_is_answered_503_and_harms_nothing() {
    run(async {
        let (store, faults) = store();
        let (app, runs) = counting(&builder(store).build().unwrap());
        faults.fail_next(Verb::Claim, 1, StoreErrorKind::Unavailable);
        assert_eq!(send(&app, "k").await.status, 503);
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        assert_eq!(send(&app, "k").await.stored.as_deref(), Some("true"));
    });
}

#[test]
fn an_unreadable_record_is_never_executed_again() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).danger_fail_open().build().unwrap();
        let (app, runs) = counting(&layer);
        faults.fail_next(Verb::Claim, 1, StoreErrorKind::Unreadable);
        let reply = send(&app, "k").await;
        assert_eq!(reply.status, 500);
        assert!(
            reply.body.contains("STORED_RESPONSE_UNREADABLE"),
            "{}",
            reply.body
        );
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    });
}

/// The handler has done its work: its key is never given free, and its response kept in the end.
#[test]
fn a_completion_that_fails_goes_on_in_the_background() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).build().unwrap();
        let (app, runs) = counting(&layer);
        faults.fail_until_healed(Verb::Complete, StoreErrorKind::Unavailable);
        let first = send(&app, "k").await;
        assert_eq!((first.status, first.stored), (201, None));
        assert_eq!(send(&app, "k").await.status, 409);
        faults.heal();
        let replay = send_until(&app, "k", |reply| reply.status == 201).await;
        assert_eq!(
            (replay.body.as_str(), replay.replay.as_deref()),
            ("1", Some("true"))
        );
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        layer.drain().await;
    });
}

/// The completion went through and only its acknowledgement was lost.
#[test]
fn a_completion_whose_acknowledgement_is_lost_is_replayed() {
    run(async {
        let (store, faults) = store();
        let (app, runs) = counting(&builder(store).build().unwrap());
        faults.lose_acknowledgement_next(Verb::Complete, 1);
        let first = send(&app, "k").await;
        assert_eq!((first.status, first.stored), (201, None));
        assert_eq!(send(&app, "k").await.replay.as_deref(), Some("true"));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

/// The lease is kept alive between the tries, however short it is.
#[test]
fn a_response_that_waits_to_be_stored_keeps_its_lease() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).lease(Duration::from_secs(1));
        let (app, runs) = counting(&layer.build().unwrap());
        faults.fail_until_healed(Verb::Complete, StoreErrorKind::Timeout);
        assert_eq!(send(&app, "k").await.status, 201);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2_500) {
            assert_eq!(send(&app, "k").await.status, 409);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        faults.heal();
        assert_eq!(
            send_until(&app, "k", |reply| reply.status == 201)
                .await
                .body,
            "1"
        );
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

/// A full store keeps at least that the request was executed.
#[test]
fn a_response_without_room_becomes_a_tombstone() {
    run(async {
        let inner = MemoryStore::builder().max_bytes(100).build().unwrap();
        let store = FaultStore::new(inner);
        let layer = builder(store).max_response_bytes(100).build().unwrap();
        let app = wrap(&layer, |_| async { (StatusCode::OK, "x".repeat(80)) });
        assert_eq!(send(&app, "first").await.stored.as_deref(), Some("true"));
        let second = send(&app, "second").await;
        assert_eq!(
            (second.status, second.body.len(), second.stored),
            (200, 80, None)
        );
        let retry = send_until(&app, "second", |reply| reply.status == 200).await;
        assert_eq!(
            (retry.body.len(), retry.replay.as_deref()),
            (0, Some("omitted"))
        );
    });
}

#[test]
fn a_heartbeat_that_fails_once_costs_no_lease() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store)
            .lease(Duration::from_millis(1_200))
            .build()
            .unwrap();
        let app = wrap(&layer, |_| async {
            tokio::time::sleep(Duration::from_millis(2_700)).await;
            (StatusCode::CREATED, "slow".to_owned())
        });
        faults.fail_next(Verb::Renew, 1, StoreErrorKind::Unavailable);
        let running = tokio::spawn({
            let app = app.clone();
            async move { send(&app, "k").await }
        });
        while faults.calls(Verb::Claim) == 0 {
            tokio::task::yield_now().await;
        }
        while !running.is_finished() {
            let duplicate = send(&app, "k").await;
            assert!(
                duplicate.status == 409 || duplicate.replay.is_some(),
                "{duplicate:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(running.await.unwrap().stored.as_deref(), Some("true"));
        assert!(faults.calls(Verb::Renew) >= 3);
    });
}

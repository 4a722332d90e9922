//! Replays from memory: when the store need not be asked, and when it must be.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Request, StatusCode};
use http_body_util::Full;
use tower::ServiceExt;
use tower_idempotency::{
    FingerprintPolicy, IdempotencyLayer, IdempotencyLayerBuilder, Outcome, Principal,
    ReplayedHeaders, ResponseHeaders, Retention,
};
use tower_idempotency_core::{RecordId, Resolution, Store, StoreErrorKind};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{FaultStore, Faults, ManualClock, Verb};

use crate::support::{
    App, Body, Reply, TestStore, counting, read, request, run_paused as run, send, store, wrap,
};

/// Lets time pass for the layer, and for the store.
async fn pass(clock: &ManualClock, time: Duration) {
    clock.advance(time);
    tokio::time::advance(time).await;
}

/// Sets up a layer that remembers what it completes, too.
fn builder(store: TestStore) -> IdempotencyLayerBuilder<TestStore> {
    crate::support::builder(store).cache_completions(true)
}

fn with_clock() -> (IdempotencyLayerBuilder<TestStore>, Faults, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let memory = MemoryStore::builder().clock(clock.clone()).build().unwrap();
    let store = FaultStore::new(memory);
    let faults = store.faults().clone();
    (builder(store), faults, clock)
}

async fn outcome(app: &App, key: &str) -> Outcome {
    let response = app.clone().oneshot(request(Some(key))).await.unwrap();
    *response.extensions().get::<Outcome>().unwrap()
}

async fn send_body(app: &App, key: &str, body: &'static str) -> Reply {
    let request = Request::post("/payments").header("idempotency-key", key);
    let request = request.body(Body::from(body)).unwrap();
    read(app.clone().oneshot(request).await.unwrap()).await
}

const REPLAYED: Outcome = Outcome::Replayed { cached: false };
const CACHED: Outcome = Outcome::Replayed { cached: true };

#[test]
fn a_retry_in_the_same_process_needs_no_store() {
    run(async {
        let (store, faults) = store();
        let (app, runs) = counting(&builder(store).build().unwrap());
        let first = send(&app, "k").await;
        let calls = faults.all_calls();
        faults.fail_until_healed(Verb::Claim, StoreErrorKind::Unavailable);
        let replay = send(&app, "k").await;
        assert_eq!((replay.status, &replay.body), (first.status, &first.body));
        assert_eq!(replay.replay.as_deref(), Some("true"));
        assert_eq!(replay.stored, None);
        assert_eq!(outcome(&app, "k").await, CACHED);
        assert_eq!(faults.all_calls(), calls);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(send(&app, "other").await.status, 503);
    });
}

/// What another process has completed is asked for once.
#[test]
fn a_replay_from_the_store_is_remembered() {
    run(async {
        let (store, faults) = store();
        let store = Arc::new(store);
        let build = || {
            let builder = IdempotencyLayer::builder(Arc::clone(&store), Principal::public());
            builder.sweep(None).build().unwrap()
        };
        // A default layer does not remember what it completes itself.
        let serve = |layer: &IdempotencyLayer<Arc<TestStore>>| {
            let service = tower::service_fn(async |_: Request<Body>| {
                Ok::<_, std::convert::Infallible>(http::Response::new(Full::from("done")))
            });
            tower::Layer::layer(layer, service)
        };
        let (one, two) = (serve(&build()), serve(&build()));
        let outcome = async |app: &_| {
            let app = Clone::clone(app);
            let response = ServiceExt::<Request<Body>>::oneshot(app, request(Some("k"))).await;
            let response: http::Response<_> = response.unwrap();
            *response.extensions().get::<Outcome>().unwrap()
        };
        let _ = outcome(&one).await;
        for layer in [&two, &one] {
            assert_eq!(outcome(layer).await, REPLAYED);
            assert_eq!(outcome(layer).await, CACHED);
        }
        assert_eq!(faults.calls(Verb::Claim), 3);
    });
}

#[test]
fn a_cached_replay_is_the_same_as_one_from_the_store() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let (app, _) = counting(&layer);
        let (plain, _) = counting(&layer.customize().no_cache().build().unwrap());
        let _ = send(&app, "k").await;
        assert_eq!(outcome(&app, "k").await, CACHED);
        assert_eq!(outcome(&plain, "k").await, REPLAYED);
        assert_eq!(send(&app, "k").await, send(&plain, "k").await);
    });
}

/// A deletion by hand is seen after the staleness, and no later.
#[test]
fn the_store_is_asked_again_after_the_staleness() {
    run(async {
        let (builder, faults, clock) = with_clock();
        let layer = builder.cache_staleness(Duration::from_secs(3));
        let (app, _) = counting(&layer.build().unwrap());
        let _ = send(&app, "k").await;
        for round in 0..3 {
            pass(&clock, Duration::from_millis(2_999)).await;
            assert_eq!(outcome(&app, "k").await, CACHED, "round {round}");
            pass(&clock, Duration::from_millis(1)).await;
            assert_eq!(outcome(&app, "k").await, REPLAYED, "round {round}");
        }
        assert_eq!(faults.calls(Verb::Claim), 4);
    });
}

/// Neither what this process completed nor what it has read outlives the record.
#[test]
fn a_record_is_not_replayed_after_its_retention() {
    run(async {
        let (builder, _, clock) = with_clock();
        let layer = builder.retention(Retention::For(Duration::from_secs(5)));
        let layer = layer.cache_staleness(Duration::from_secs(3));
        let (app, runs) = counting(&layer.build().unwrap());
        for run in 1..4 {
            assert_eq!(send(&app, "k").await.body, run.to_string());
            pass(&clock, Duration::from_millis(3_500)).await;
            // Read with a second and a half left.
            assert_eq!(outcome(&app, "k").await, REPLAYED);
            pass(&clock, Duration::from_millis(1_499)).await;
            assert_eq!(outcome(&app, "k").await, CACHED);
            pass(&clock, Duration::from_millis(1)).await;
        }
        assert_eq!(runs.load(Ordering::SeqCst), 3);

        // Completed with less left than the staleness.
        let short = layer_with_retention(Duration::from_secs(1));
        let (app, _) = counting(&short.0);
        assert_eq!(send(&app, "k").await.body, "1");
        pass(&short.1, Duration::from_millis(999)).await;
        assert_eq!(send(&app, "k").await.body, "1");
        pass(&short.1, Duration::from_millis(1)).await;
        assert_eq!(send(&app, "k").await.body, "2");
    });
}

fn layer_with_retention(time: Duration) -> (IdempotencyLayer<TestStore>, Arc<ManualClock>) {
    let (builder, _, clock) = with_clock();
    let layer = builder.retention(Retention::For(time)).build().unwrap();
    (layer, clock)
}

/// The store judges whether requests differ: it knows what they are compared by.
#[test]
fn another_request_with_a_cached_key_is_refused() {
    run(async {
        let (store, faults) = store();
        let (app, runs) = counting(&builder(store).build().unwrap());
        assert_eq!(send_body(&app, "k", "one").await.status, 201);
        assert_eq!(send_body(&app, "k", "one").await.status, 201);
        assert_eq!(send_body(&app, "k", "two").await.status, 422);
        assert_eq!(send_body(&app, "k", "one").await.status, 201);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(faults.calls(Verb::Claim), 2);
    });
}

/// A layer that compares nothing matches every record, and does not speak for one that does.
#[test]
fn a_layer_that_compares_nothing_vouches_for_no_other_request() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let off = FingerprintPolicy::default().off();
        let (lax, _) = counting(&layer.customize().fingerprint(off).build().unwrap());
        let (strict, _) = counting(&layer);
        assert_eq!(send_body(&strict, "k", "one").await.status, 201);
        assert_eq!(send_body(&lax, "k", "two").await.status, 201);
        assert_eq!(send_body(&lax, "k", "three").await.status, 201);
        assert_eq!(send_body(&strict, "k", "two").await.status, 422);
        assert_eq!(send_body(&strict, "k", "one").await.status, 201);
    });
}

/// Two layers on one store may show a record differently.
#[test]
fn a_cached_replay_is_marked_as_its_own_layer_says() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let other = layer
            .customize()
            .response_headers(ResponseHeaders::stripe());
        let other = other.replayed_headers(ReplayedHeaders::only(["location"]));
        let (one, _) = counting(&layer);
        let (two, _) = counting(&other.build().unwrap());
        let _ = send(&one, "k").await;
        for _ in 0..2 {
            assert_eq!(send(&one, "k").await.replay.as_deref(), Some("true"));
            assert_eq!(send(&two, "k").await.replay, None);
        }
    });
}

#[test]
fn a_cache_that_is_switched_off_asks_the_store_every_time() {
    run(async {
        for switch in [
            IdempotencyLayerBuilder::no_cache,
            |builder: IdempotencyLayerBuilder<_>| builder.cache_bytes(0),
            |builder: IdempotencyLayerBuilder<_>| builder.cache_staleness(Duration::ZERO),
        ] {
            let (store, faults) = store();
            let (app, _) = counting(&switch(builder(store)).build().unwrap());
            for _ in 0..3 {
                let _ = send(&app, "k").await;
            }
            assert_eq!(outcome(&app, "k").await, REPLAYED);
            assert_eq!(faults.calls(Verb::Claim), 4);
        }
    });
}

/// A clock that a test moves has to be believed.
#[test]
fn records_in_the_memory_of_the_process_are_not_copied() {
    run(async {
        let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::public()).unwrap();
        let service = tower::service_fn(async |_: Request<Body>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from("done")))
        });
        let app = tower::Layer::layer(&layer, service);
        for expected in [None, Some(REPLAYED), Some(REPLAYED)] {
            let response = app.clone().oneshot(request(Some("k"))).await.unwrap();
            let outcome = *response.extensions().get::<Outcome>().unwrap();
            assert!(expected.is_none_or(|expected| expected == outcome));
        }
    });
}

/// The newest are asked for, the oldest are not; each is still replayed, by the store.
#[test]
fn the_cache_keeps_the_newest_records_within_its_bytes() {
    const KEYS: usize = 400;
    run(async {
        let (store, _) = store();
        let layer = builder(store).cache_bytes(1024 * 1024);
        let app = wrap(&layer.build().unwrap(), |_| async {
            (StatusCode::OK, "x".repeat(8 * 1024))
        });
        for key in 0..KEYS {
            let _ = send(&app, &key.to_string()).await;
        }
        let mut cached = Vec::new();
        // What is not there comes in again, at the cost of older ones only.
        for key in (0..KEYS).rev() {
            if outcome(&app, &key.to_string()).await == CACHED {
                cached.push(key);
            }
        }
        let newest = cached.iter().filter(|key| **key >= KEYS - 40).count();
        assert!(newest > 30, "{newest} of the 40 newest are there");
        assert!(cached.len() < 130, "{} of 8 KiB are in 1 MiB", cached.len());
    });
}

/// A response that would push everything else out is left to the store.
#[test]
fn a_response_larger_than_a_sixteenth_of_the_cache_stays_out() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).cache_bytes(160 * 1024);
        let app = wrap(&layer.build().unwrap(), |request| {
            let bytes = if request.uri().path() == "/large" {
                10_240
            } else {
                8_192
            };
            async move { (StatusCode::OK, "x".repeat(bytes)) }
        });
        for (path, expected) in [("/large", REPLAYED), ("/small", CACHED)] {
            let mut last = None;
            for _ in 0..3 {
                let request = Request::post(path).header("idempotency-key", path);
                let request = request.body(Body::from("")).unwrap();
                let response = app.clone().oneshot(request).await.unwrap();
                last = response.extensions().get::<Outcome>().copied();
            }
            assert_eq!(last, Some(expected), "{path}");
        }
    });
}

/// Only what the store has kept is remembered.
#[test]
fn what_was_not_kept_is_executed_again() {
    run(async {
        for kind in [StoreErrorKind::RolledBack, StoreErrorKind::Conflict] {
            let (store, faults) = store();
            let (app, _) = counting(&builder(store).build().unwrap());
            faults.roll_back_next(Verb::Complete, 1, kind);
            assert_eq!(send(&app, "k").await.status, 503, "{kind:?}");
            assert_eq!(send(&app, "k").await.body, "2", "{kind:?}");
            assert_eq!(send(&app, "k").await.body, "2", "{kind:?}");
        }
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let app = wrap(&layer, |_| async {
            (StatusCode::BAD_GATEWAY, String::new())
        });
        for _ in 0..2 {
            assert_eq!(send(&app, "k").await.replay, None);
        }
    });
}

/// An operator can only resolve what is not completed, and nothing of that is ever in memory.
#[test]
fn a_resolved_key_is_answered_as_resolved() {
    run(async {
        let (store, faults) = store();
        let store = Arc::new(store);
        let layer = IdempotencyLayer::builder(Arc::clone(&store), Principal::public());
        let layer = layer.sweep(None).build().unwrap();
        let service = tower::service_fn(async |_: Request<Body>| {
            let mut response = http::Response::new(Body::from("failed"));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            Ok::<_, std::convert::Infallible>(response)
        });
        let app = tower::Layer::layer(&layer, service);
        let _ = app.clone().oneshot(request(Some("k"))).await.unwrap();
        let page = tower_idempotency_core::ListPage::default();
        let id: RecordId = store.list(&page).await.unwrap()[0].id;
        let kept = tower_idempotency_core::StoredResponse::new(
            StatusCode::OK,
            &http::HeaderMap::new(),
            "resolved",
        );
        let kept = tower_idempotency_core::Completed::new(kept, Retention::COMPLETED);
        let resolved = store.resolve(&id, &Resolution::Answer(kept)).await;
        assert!(resolved.is_ok());
        for _ in 0..2 {
            let response = app.clone().oneshot(request(Some("k"))).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
        }
        assert_eq!(faults.calls(Verb::Claim), 2);
    });
}

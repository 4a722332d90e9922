//! Tower's rules, cancellation, draining, waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_idempotency::{Idempotency, Outcome, ProblemCode, Settlement, WaitPolicy};
use tower_idempotency_testkit::{Verb, run};

use crate::support::{builder, counting, read, request, send, store, wrap};

/// The permit belongs to the service that was readied, so that one must be called.
#[test]
fn the_readied_service_is_the_one_that_is_called() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let inner = ServiceBuilder::new()
            .layer(ConcurrencyLimitLayer::new(1))
            .service(service_fn(|_: http::Request<crate::support::Body>| async {
                Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::<
                    bytes::Bytes,
                >::from("x")))
            }));
        let mut service = layer.layer(inner);
        for n in 0..3 {
            let key = format!("k-{n}");
            let readied = tokio::time::timeout(Duration::from_secs(5), service.ready()).await;
            let response = readied.unwrap().unwrap().call(request(Some(&key))).await;
            assert_eq!(read(response.unwrap()).await.status, 200);
        }
    });
}

#[test]
fn dropping_the_response_future_does_not_stop_the_handler() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).build().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let (opened, arrived) = (Arc::clone(&gate), Arc::new(AtomicU64::new(0)));
        let at_gate = Arc::clone(&arrived);
        let app = wrap(&layer, move |_| {
            let gate = Arc::clone(&gate);
            at_gate.fetch_add(1, Ordering::SeqCst);
            async move {
                let _ = gate.acquire().await;
                (StatusCode::CREATED, "done".to_owned())
            }
        });
        let client = tokio::spawn(app.clone().oneshot(request(Some("k"))));
        while arrived.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        client.abort();
        assert!(client.await.is_err());
        let draining = tokio::spawn({
            let layer = layer.clone();
            async move { layer.drain().await }
        });
        assert_eq!(faults.calls(Verb::Complete), 0);
        opened.close();
        draining.await.unwrap();
        assert_eq!(faults.calls(Verb::Complete), 1);
        assert_eq!(send(&app, "k").await.body, "done");
    });
}

#[test]
fn a_handler_learns_its_key_and_attempt() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let app = wrap(&layer, |request| {
            let handle = request.extensions().get::<Idempotency>().cloned().unwrap();
            let attempt = handle.attempt();
            let seen = format!("{} {}", handle.key().as_str(), attempt.number);
            let first = attempt.number == 1;
            async move {
                let status = if first {
                    StatusCode::BAD_GATEWAY
                } else {
                    StatusCode::OK
                };
                (status, seen)
            }
        });
        assert_eq!(send(&app, "\"k\"").await.body, "k 1");
        assert_eq!(send(&app, "k").await.body, "k 2");
    });
}

/// Outer layers see the outcome in the response, and the hook gets each one once.
#[test]
fn every_outcome_is_published() {
    run(async {
        let (store, _) = store();
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let hooked = Arc::clone(&seen);
        let layer = builder(store).on_outcome(move |outcome| hooked.lock().unwrap().push(outcome));
        let (app, _) = counting(&layer.build().unwrap().required());
        let mut published = Vec::new();
        for key in [Some("k"), Some("k"), Some("\"broken"), None] {
            let response = app.clone().oneshot(request(key)).await.unwrap();
            published.push(*response.extensions().get::<Outcome>().unwrap());
        }
        let expected = [
            Outcome::Executed(Settlement::Stored),
            Outcome::Replayed { cached: false },
            Outcome::Refused(ProblemCode::IdempotencyKeyInvalid),
            Outcome::Refused(ProblemCode::IdempotencyKeyMissing),
        ];
        assert_eq!(published, expected);
        assert_eq!(*seen.lock().unwrap(), expected);
    });
}

#[test]
fn only_so_many_duplicates_wait() {
    run(async {
        let (store, faults) = store();
        let mut policy = WaitPolicy::at_most(Duration::from_secs(30));
        policy.waiters = 2;
        let layer = builder(store).wait(policy).build().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let app = wrap(&layer, move |_| {
            let gate = Arc::clone(&gate);
            async move {
                let _ = gate.acquire().await;
                (StatusCode::CREATED, "done".to_owned())
            }
        });
        let spawn = || {
            let app = app.clone();
            tokio::spawn(async move { send(&app, "k").await })
        };
        let mut waiting = vec![spawn()];
        // The first one claims; each waiting one claims once more when it has its place.
        for claims in [1, 3, 5] {
            while faults.calls(Verb::Claim) < claims {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if claims < 5 {
                waiting.push(spawn());
            }
        }
        assert_eq!(send(&app, "k").await.status, 409);
        opened.close();
        for reply in waiting {
            assert_eq!(reply.await.unwrap().body, "done");
        }
    });
}

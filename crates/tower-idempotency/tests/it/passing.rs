//! What is none of the layer's business costs nothing.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{Method, Request, Response};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_idempotency::IdempotencyLayer;
use tower_idempotency_testkit::run;

use crate::support::{Body, TestStore, builder, counting, read, request, send, store};

/// A service that does nothing at all, so that every allocation is the layer's.
#[derive(Clone)]
struct Idle;

impl Service<Request<Body>> for Idle {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Full::default())))
    }
}

/// Counts the allocations of a request from call to response.
fn allocations(layer: &IdempotencyLayer<TestStore>, request: Request<Body>) -> u64 {
    let mut service = layer.layer(Idle);
    let mut cx = Context::from_waker(Waker::noop());
    let counted = allocation_counter::measure(|| {
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut response = pin!(service.call(request));
        let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut cx) else {
            panic!("the service answers at once");
        };
        drop(response);
    });
    counted.count_total
}

#[test]
fn a_request_that_passes_by_costs_no_allocation_and_no_store_call() {
    let (store, faults) = store();
    let layer = builder(store).build().unwrap();
    let mut uncovered = request(Some("k"));
    *uncovered.method_mut() = Method::GET;
    let mut grpc = request(Some("k"));
    let kind = "application/grpc".parse().unwrap();
    grpc.headers_mut().insert("content-type", kind);
    for passing in [request(None), uncovered, grpc] {
        assert_eq!(allocations(&layer, passing), 0);
    }
    assert_eq!(faults.all_calls(), 0);
}

/// The counter would also say zero if it did not count.
#[test]
fn a_keyed_request_does_allocate() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let service = layer.layer(Idle);
        let counted = allocation_counter::measure(|| {
            let mut service = service.clone();
            drop(service.call(request(Some("k"))));
        });
        assert!(counted.count_total > 0);
    });
}

#[test]
fn a_skipped_request_asks_nobody() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).skip(|parts| parts.headers.contains_key("x-internal"));
        let (app, _) = counting(&layer.build().unwrap());
        let mut skipped = request(Some("k"));
        skipped
            .headers_mut()
            .insert("x-internal", "1".parse().unwrap());
        let response = tower::ServiceExt::oneshot(app.clone(), skipped)
            .await
            .unwrap();
        assert_eq!(read(response).await.stored, None);
        assert_eq!(faults.all_calls(), 0);
        assert_eq!(send(&app, "k").await.stored.as_deref(), Some("true"));
    });
}

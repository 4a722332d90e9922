//! The layer that answers with axum's own body.

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::{Router, body::Body, routing::post};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, Service, ServiceExt};
use tower_idempotency::{IdempotencyLayer, Principal};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::run;

fn layer() -> IdempotencyLayer<MemoryStore> {
    IdempotencyLayer::new(MemoryStore::new(), Principal::public()).unwrap()
}

fn handlers() -> Router {
    Router::new().route("/", post(async || "paid"))
}

/// A router as a server has it: one that still waits for its state builds services all the time.
fn as_served(router: Router) -> Router {
    router.with_state(())
}

fn request(method: Method, key: Option<&'static str>) -> Request<Body> {
    let mut request = Request::new(Body::from("amount=12"));
    *request.method_mut() = method;
    if let Some(key) = key {
        let key = HeaderValue::from_static(key);
        request.headers_mut().insert("idempotency-key", key);
    }
    request
}

/// Counts the allocations of a request from call to the end of the response's body.
fn allocations(app: &mut Router, request: Request<Body>) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let counted = allocation_counter::measure(|| {
        let mut response = pin!(app.call(request));
        let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut cx) else {
            panic!("the handler answers at once");
        };
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(frame)) = pin!(body.frame()).poll(&mut cx) {
            drop(frame);
        }
    });
    counted.count_total
}

/// axum itself allocates for every layer, so what is compared with is one that does nothing.
#[test]
fn a_request_without_a_key_costs_no_allocation_in_axum() {
    let idle = tower::layer::layer_fn(|inner| tower::util::MapRequest::new(inner, identity));
    let mut idle = as_served(handlers().layer(idle));
    let mut layered = as_served(handlers().layer(layer().for_axum()));
    for (method, key) in [(Method::POST, None), (Method::GET, Some("k"))] {
        let cost = allocations(&mut idle, request(method.clone(), key));
        assert!(cost > 0);
        assert_eq!(allocations(&mut layered, request(method, key)), cost);
    }
}

fn identity(request: Request<Body>) -> Request<Body> {
    request
}

#[test]
fn it_executes_replays_and_refuses_as_the_other_layer_does() {
    run(async {
        let app = handlers().layer(layer().required().for_axum());
        let mut marks = Vec::new();
        for key in [Some("k"), Some("k"), None] {
            let response = app.clone().oneshot(request(Method::POST, key)).await;
            let response: Response<Body> = response.unwrap();
            let is_replay = response.headers().contains_key("x-idempotency-replay");
            let length = response.headers()["content-length"].clone();
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(length.to_str().unwrap(), body.len().to_string());
            marks.push((status, is_replay, body == "paid"));
        }
        assert_eq!(
            marks,
            [(200, false, true), (200, true, true), (400, false, false)]
        );
    });
}

#[test]
fn trailers_and_streams_reach_the_client_through_axums_body() {
    run(async {
        let inner = tower::service_fn(async |_: Request<Body>| {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("3"));
            let frames = [
                Ok::<_, Infallible>(http_body::Frame::data("ab".into())),
                Ok(http_body::Frame::data("c".into())),
                Ok(http_body::Frame::trailers(trailers)),
            ];
            let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
            Ok::<_, Infallible>(Response::new(body))
        });
        let service = layer().for_axum().layer(inner);
        for key in [Some("k"), None] {
            let response = service.clone().oneshot(request(Method::POST, key)).await;
            let collected = response.unwrap().into_body().collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["x-sum"], "3");
            assert_eq!(collected.to_bytes(), "abc");
        }
    });
}

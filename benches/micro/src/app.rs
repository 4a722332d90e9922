//! Whole requests through an axum router, with the layer and without it.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tower_idempotency::{IdempotencyLayer, Principal};
use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Fingerprint, IdempotencyKey, Retention, Scope,
    Settled, Store, StoredResponse,
};
use tower_idempotency_memory::MemoryStore;
use tower_layer::layer_fn;
use tower_service::Service;

use crate::Path;

const BODY: &[u8] = &[b'a'; 200];

/// The records that are kept at a time, once they have expired: the size of the maps is that of
/// a small server, and stays so however many requests a measure needs.
const RECORDS: usize = 20_000;

/// Routers with a handler that answers 201 and 200 bytes.
#[derive(Debug)]
pub struct App {
    runtime: Runtime,
    bare: Router,
    layered: Router,
    covered: Router,
    for_axum: Router,
    store: MemoryStore,
    /// The next new key.
    next: u64,
}

impl App {
    /// Makes the routers.
    ///
    /// # Errors
    ///
    /// None that could be helped: a layer that cannot be built.
    pub fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let store = MemoryStore::builder().max_records(RECORDS).build()?;
        let layer = IdempotencyLayer::builder(store.clone(), Principal::public())
            .retention(Retention::For(Duration::from_millis(1)))
            .build()?;
        // A record that is there for the whole run.
        let replayed = layer.customize().retention(Retention::Forever).build()?;
        let handlers = Router::new()
            .route("/payments", post(pay).put(pay))
            .route("/awaiting", post(pay_later));
        let for_axum = Router::new().route("/for-axum/payments", post(pay));
        let kept = Router::new().route("/kept", post(pay)).layer(replayed);
        let mut app = Self {
            runtime,
            bare: as_served(handlers.clone()),
            layered: as_served(handlers.clone().layer(layer_fn(PassThrough))),
            for_axum: as_served(for_axum.layer(layer.for_axum())),
            covered: as_served(handlers.layer(layer).merge(kept)),
            store,
            next: 1,
        };
        app.run(Path::Replay, 1);
        Ok(app)
    }

    /// Makes one router for a server; the bare one is below `/bare`, the one for axum below
    /// `/for-axum`.
    pub fn into_server(self) -> Router {
        self.covered
            .merge(Router::new().route("/bare/payments", post(pay)))
            .merge(self.for_axum)
    }

    pub(crate) fn run(&mut self, path: Path, iterations: u64) {
        let Self {
            runtime,
            bare,
            layered,
            covered,
            for_axum,
            store,
            next,
        } = self;
        runtime.block_on(async {
            for _ in 0..iterations {
                *next += 1;
                match path {
                    Path::Bare => send(bare, request(Method::POST, "/payments", None)).await,
                    Path::BareLayered => {
                        send(layered, request(Method::POST, "/payments", None)).await;
                    }
                    Path::Uncovered => send(covered, request(Method::PUT, "/payments", None)).await,
                    Path::Unkeyed => send(covered, request(Method::POST, "/payments", None)).await,
                    Path::UnkeyedForAxum => {
                        send(for_axum, request(Method::POST, "/for-axum/payments", None)).await;
                    }
                    Path::Fresh => {
                        send(covered, request(Method::POST, "/payments", Some(*next))).await;
                    }
                    Path::FreshAwaiting => {
                        send(covered, request(Method::POST, "/awaiting", Some(*next))).await;
                    }
                    Path::Replay => send(covered, request(Method::POST, "/kept", Some(0))).await,
                    _ => settle(store, *next).await,
                }
            }
        });
    }
}

impl Path {
    /// Returns the whole request of this path as it goes over a connection.
    #[must_use]
    pub fn to_http(self, number: u64) -> String {
        let (target, key) = match self {
            Self::Bare => ("/bare/payments", None),
            Self::UnkeyedForAxum => ("/for-axum/payments", None),
            Self::Fresh => ("/payments", Some(number)),
            Self::FreshAwaiting => ("/awaiting", Some(number)),
            Self::Replay => ("/kept", Some(0)),
            _ => ("/payments", None),
        };
        let key = key.map_or_else(String::new, |key| {
            format!("idempotency-key: {}\r\n", self::key(key))
        });
        let body = "a".repeat(BODY.len());
        format!(
            "POST {target} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\
             content-type: application/json\r\ncontent-length: 200\r\n{key}\r\n{body}"
        )
    }
}

/// A layer's service that does nothing.
#[derive(Clone)]
struct PassThrough<S>(S);

impl<R, S: Service<R>> Service<R> for PassThrough<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

/// Turns the handlers into services once and for all, as `axum::serve` does; a router that still
/// waits for its state does that for every request.
fn as_served(router: Router) -> Router {
    router.with_state(())
}

async fn pay(body: Bytes) -> (StatusCode, [(header::HeaderName, &'static str); 2], Bytes) {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::LOCATION, "/payments/17"),
    ];
    (StatusCode::CREATED, headers, body)
}

async fn pay_later(body: Bytes) -> (StatusCode, [(header::HeaderName, &'static str); 2], Bytes) {
    tokio::task::yield_now().await;
    pay(body).await
}

fn key(number: u64) -> String {
    format!("{number:08x}-40d5-43e8-bc93-6894a57f9324")
}

fn request(method: Method, path: &'static str, key: Option<u64>) -> Request<Body> {
    let mut request = Request::new(Body::from(BODY));
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("200"));
    if let Some(number) = key {
        let key = HeaderValue::try_from(self::key(number)).expect("hex is a header's value");
        headers.insert("idempotency-key", key);
    }
    request
}

async fn send(app: &mut Router, request: Request<Body>) {
    // An axum router is always ready, and its errors are responses.
    let response = app
        .call(request)
        .await
        .unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), StatusCode::CREATED);
    let body = response.into_body().collect().await;
    let body = body.expect("a body in memory can be read").to_bytes();
    assert_eq!(body.len(), BODY.len());
}

/// Claims and completes a new key in the store, without the layer.
async fn settle(store: &MemoryStore, number: u64) {
    let key = IdempotencyKey::new(key(number)).expect("hex is a key");
    let scope = Scope::new("alice", "POST /payments");
    let mut request = ClaimRequest::new(scope, key, Fingerprint::OFF);
    request.failed_retention = Retention::For(Duration::from_millis(1));
    let Ok(Claim::Acquired(mut execution)) = store.claim(&request).await else {
        panic!("a new key is free");
    };
    let mut headers = http::HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let response = StoredResponse::new(StatusCode::CREATED, &headers, Bytes::from_static(BODY));
    let completed = Completed::new(response, Retention::For(Duration::from_millis(1)));
    let settled = execution.complete(&completed).await;
    assert_eq!(settled.ok(), Some(Settled::Applied));
}

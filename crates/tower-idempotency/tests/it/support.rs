//! A service that counts its runs, behind the layer.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_idempotency::{IdempotencyLayer, IdempotencyLayerBuilder, Principal, ResponseBody};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{FaultStore, Faults};

pub(crate) type Body = Full<Bytes>;
pub(crate) type TestStore = FaultStore<MemoryStore>;
pub(crate) type App = BoxCloneSyncService<Request<Body>, Response<ResponseBody<Body>>, Infallible>;

/// Runs a test in which time stands still unless it is moved.
pub(crate) fn run_paused<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(test);
}

pub(crate) fn store() -> (TestStore, Faults) {
    let store = FaultStore::new(MemoryStore::new());
    let faults = store.faults().clone();
    (store, faults)
}

pub(crate) fn builder(store: TestStore) -> IdempotencyLayerBuilder<TestStore> {
    IdempotencyLayer::builder(store, Principal::public()).sweep(None)
}

/// Wraps a service that answers 201 with the number of its run.
pub(crate) fn counting(layer: &IdempotencyLayer<TestStore>) -> (App, Arc<AtomicU64>) {
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    let app = wrap(layer, move |_| {
        let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move { (StatusCode::CREATED, run.to_string()) }
    });
    (app, runs)
}

/// Wraps a handler.
pub(crate) fn wrap<H, F>(layer: &IdempotencyLayer<TestStore>, handler: H) -> App
where
    H: Fn(Request<Body>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = (StatusCode, String)> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move {
            let (status, body) = answer.await;
            let mut response = Response::new(Full::from(body));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    BoxCloneSyncService::new(layer.layer(service))
}

pub(crate) fn request(key: Option<&str>) -> Request<Body> {
    let mut request = Request::post("/payments");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Full::from("amount=1")).unwrap()
}

/// What a client sees.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) stored: Option<String>,
    pub(crate) replay: Option<String>,
}

pub(crate) async fn send(app: &App, key: &str) -> Reply {
    let mut app = app.clone();
    let response = app.ready().await.unwrap().call(request(Some(key))).await;
    read(response.unwrap()).await
}

pub(crate) async fn read(response: Response<ResponseBody<Body>>) -> Reply {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (stored, replay) = (
        header("x-idempotency-stored"),
        header("x-idempotency-replay"),
    );
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Reply {
        status,
        body: String::from_utf8(body.to_vec()).unwrap(),
        stored,
        replay,
    }
}

/// Asks again until the reply is as wanted.
pub(crate) async fn send_until(app: &App, key: &str, wanted: impl Fn(&Reply) -> bool) -> Reply {
    for _ in 0..2_000 {
        let reply = send(app, key).await;
        if wanted(&reply) {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the wanted reply did not come");
}

/// Waits for what will come, within a bound.
pub(crate) async fn until(met: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if met() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("what was waited for did not come");
}

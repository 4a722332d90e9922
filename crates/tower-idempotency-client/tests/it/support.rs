//! A server, a proxy that loses things, and a client.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::post};
use fault_proxy::FaultProxy;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{
    ClientBuilder, ClientWithMiddleware, Middleware, Next, RequestBuilder, Result,
};
use tokio::net::TcpListener;
use tower_idempotency::{IdempotencyLayer, Principal};
use tower_idempotency_client::{
    IdempotencyMiddleware, Operation, RetryPolicy, SendError, SendErrorKind, WithOperation,
};
use tower_idempotency_memory::MemoryStore;

/// A proxy that exists later than those who set its faults.
pub(crate) type Proxy = Arc<OnceLock<FaultProxy>>;

/// A payment service behind a proxy.
pub(crate) struct Payments {
    pub(crate) proxy: Proxy,
    runs: Arc<AtomicU64>,
}

impl Payments {
    /// Starts a service whose first run does this to the proxy before it answers with `length`
    /// bytes.
    pub(crate) async fn start(
        length: usize,
        first: impl Fn(&FaultProxy) + Clone + Send + Sync + 'static,
    ) -> Self {
        let (proxy, runs) = (Proxy::default(), Arc::<AtomicU64>::default());
        let (to_fault, counted) = (Arc::clone(&proxy), Arc::clone(&runs));
        let pay = async move || {
            let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
            if run == 1 {
                first(to_fault.get().unwrap());
            }
            (
                StatusCode::CREATED,
                format!("paid {run} {}", "x".repeat(length)),
            )
        };
        let server = serve(protected(Router::new().route("/payments", post(pay)))).await;
        let started = FaultProxy::start(server).await.unwrap();
        assert!(proxy.set(started).is_ok());
        Self { proxy, runs }
    }

    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    /// Returns a client for which the proxy is mended before its second try.
    pub(crate) fn client(&self, policy: RetryPolicy) -> ClientWithMiddleware {
        let proxy = Arc::clone(&self.proxy);
        client_with(
            IdempotencyMiddleware::new().retry(policy),
            EachTry::new(move |number| {
                if number == 2 {
                    proxy.get().unwrap().clear();
                }
            }),
        )
    }

    pub(crate) fn pay(
        &self,
        client: &ClientWithMiddleware,
        operation: &Operation,
    ) -> RequestBuilder {
        pay(client, self.proxy.get().unwrap().addr(), operation)
    }
}

pub(crate) fn pay(
    client: &ClientWithMiddleware,
    server: SocketAddr,
    operation: &Operation,
) -> RequestBuilder {
    client
        .post(format!("http://{server}/payments"))
        .header("x-user", "alice")
        .body("12.50")
        .operation(operation)
}

/// Puts the layer around an application.
pub(crate) fn protected(app: Router) -> Router {
    let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::header("x-user")).unwrap();
    app.route_layer(layer.required())
}

pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

/// Returns an address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Many tries in a short time, and far more of it than needed.
pub(crate) fn quick() -> RetryPolicy {
    RetryPolicy::new()
        .first_pause(Duration::from_millis(5))
        .longest_pause(Duration::from_millis(20))
}

/// Three tries, for what does not succeed.
pub(crate) fn brief() -> RetryPolicy {
    quick().max_tries(NonZeroU32::new(3).unwrap())
}

pub(crate) fn client(policy: RetryPolicy) -> ClientWithMiddleware {
    client_with(
        IdempotencyMiddleware::new().retry(policy),
        EachTry::new(|_| {}),
    )
}

pub(crate) fn client_with(
    first: IdempotencyMiddleware,
    then: impl Middleware,
) -> ClientWithMiddleware {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    ClientBuilder::new(client).with(first).with(then).build()
}

/// Does something before each try.
pub(crate) struct EachTry<Do> {
    tries: AtomicU32,
    action: Do,
}

impl<Do: Fn(u32) + Send + Sync + 'static> EachTry<Do> {
    pub(crate) fn new(action: Do) -> Self {
        let tries = AtomicU32::new(0);
        Self { tries, action }
    }
}

#[async_trait::async_trait]
impl<Do: Fn(u32) + Send + Sync + 'static> Middleware for EachTry<Do> {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        (self.action)(self.tries.fetch_add(1, Ordering::SeqCst) + 1);
        next.run(request, extensions).await
    }
}

/// Returns the kind of the error, and how many tries there were.
pub(crate) fn failure(sent: &Result<Response>) -> (SendErrorKind, u32) {
    let error = SendError::of(sent.as_ref().unwrap_err()).unwrap();
    assert!(std::error::Error::source(error).is_some());
    (error.kind(), error.tries())
}

//! What is sent.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode},
    response::Redirect,
    routing::{any, post},
};
use fault_proxy::Fault;
use http::Extensions;
use http_body_util::Full;
use reqwest::{Body, Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use tower_idempotency_client::{
    AnswerExt, IdempotencyMiddleware, Operation, Outcome, SendErrorKind, WithOperation,
};

use crate::support::{Payments, brief, client, client_with, failure, nobody, pay, quick, serve};

/// A body that can be sent only once.
fn stream() -> Body {
    Body::wrap(Full::new("12.50".as_bytes()))
}

#[tokio::test]
async fn a_stream_is_sent_once() {
    let payments = Payments::start(0, |proxy| proxy.set(Fault::CutAfter(0))).await;
    let (client, operation) = (payments.client(quick()), Operation::new());
    let sent = payments
        .pay(&client, &operation)
        .body(stream())
        .send()
        .await;
    assert_eq!(failure(&sent), (SendErrorKind::BodyUsedUp, 1));
    assert_eq!(Outcome::of(&sent), Outcome::Unknown);

    payments.proxy.get().unwrap().clear();
    let again = payments
        .pay(&client, &operation)
        .body(stream())
        .send()
        .await;
    assert!(again.unwrap().is_replay());
    assert_eq!(payments.runs(), 1);
}

#[tokio::test]
async fn a_stream_that_found_no_connection_was_not_sent() {
    let request = pay(&client(brief()), nobody().await, &Operation::new());
    let sent = request.body(stream()).send().await;
    assert_eq!(failure(&sent), (SendErrorKind::NotSent, 1));
}

#[tokio::test]
async fn bodies_arrive_as_they_would_without_the_client() {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let sees = Arc::clone(&seen);
    let see = async move |headers: HeaderMap, body: String| {
        let shown = |name| {
            headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let framing = (shown("content-length"), shown("transfer-encoding"));
        sees.lock().unwrap().push(format!("{framing:?} {body:?}"));
    };
    let url = format!(
        "http://{}/",
        serve(Router::new().route("/", any(see))).await
    );
    let client = client(quick());
    for method in [Method::POST, Method::PATCH, Method::DELETE, Method::GET] {
        for body in [None, Some(""), Some("12.50")] {
            for operation in [None, Some(Operation::new())] {
                let mut request = client.request(method.clone(), &url);
                if let Some(body) = body {
                    request = request.body(body);
                }
                if let Some(operation) = &operation {
                    request = request.operation(operation);
                }
                request.send().await.unwrap();
            }
        }
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 24);
    for pair in seen.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
}

#[tokio::test]
async fn a_redirect_takes_key_and_body_along() {
    let arrived = Arc::<Mutex<Vec<String>>>::default();
    let arrives = Arc::clone(&arrived);
    let take = async move |headers: HeaderMap, body: String| {
        let key = headers["idempotency-key"].to_str().unwrap();
        arrives.lock().unwrap().push(format!("{key} {body}"));
        StatusCode::CREATED
    };
    let app = Router::new()
        .route(
            "/payments",
            post(async || Redirect::temporary("/v2/payments")),
        )
        .route("/v2/payments", post(take));
    let operation = Operation::new();
    let sent = pay(&client(quick()), serve(app).await, &operation)
        .send()
        .await;
    assert_eq!(Outcome::of(&sent), Outcome::Done);
    let answer = sent.unwrap();
    assert_eq!((answer.status().as_u16(), answer.tries()), (201, 1));
    let expected = format!("\"{}\" 12.50", operation.key().as_str());
    assert_eq!(*arrived.lock().unwrap(), [expected]);
}

/// Notes whether the bytes of a body can be read, as one that signs them would.
struct Signs(Arc<Mutex<Vec<bool>>>);

#[async_trait::async_trait]
impl Middleware for Signs {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let bytes = request.body().and_then(Body::as_bytes);
        self.0.lock().unwrap().push(bytes == Some(b"12.50"));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn an_unwatched_body_can_be_read_and_its_errors_are_believed() {
    let payments = Payments::start(0, |_| {}).await;
    let unwatched = IdempotencyMiddleware::new().retry(brief()).unwatched();
    let readable = Arc::<Mutex<Vec<bool>>>::default();
    let client = client_with(unwatched, Signs(Arc::clone(&readable)));
    let sent = payments.pay(&client, &Operation::new()).send().await;
    assert_eq!(sent.unwrap().status(), 201);
    let sent = pay(&client, nobody().await, &Operation::new()).send().await;
    assert_eq!(failure(&sent).0, SendErrorKind::NotSent);
    assert!(readable.lock().unwrap().iter().all(|readable| *readable));
}

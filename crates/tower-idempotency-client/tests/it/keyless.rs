//! Requests without an operation.

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode},
    routing::any,
};
use reqwest_middleware::ClientWithMiddleware;
use tower_idempotency_client::{AnswerExt, IdempotencyMiddleware, Outcome};

use crate::support::{EachTry, brief, client_with, serve};

async fn echo(headers: HeaderMap) -> (StatusCode, String) {
    let key = headers.get("idempotency-key");
    let key = key.map_or("none", |key| key.to_str().unwrap());
    (StatusCode::SERVICE_UNAVAILABLE, key.to_owned())
}

/// Returns how often it was tried, and with what key.
async fn key_of(
    client: &ClientWithMiddleware,
    method: Method,
    own: Option<&str>,
) -> (bool, String) {
    let url = format!(
        "http://{}/",
        serve(Router::new().route("/", any(echo))).await
    );
    let mut request = client.request(method, url);
    if let Some(own) = own {
        request = request.header("idempotency-key", own);
    }
    let sent = request.send().await;
    assert_eq!(Outcome::of(&sent), Outcome::Unknown);
    let answer = sent.unwrap();
    (answer.tries() > 1, answer.text().await.unwrap())
}

fn client(middleware: IdempotencyMiddleware) -> ClientWithMiddleware {
    client_with(middleware.retry(brief()), EachTry::new(|_| {}))
}

#[tokio::test]
async fn requests_without_an_operation_are_left_alone() {
    let client = client(IdempotencyMiddleware::new());
    for method in [Method::POST, Method::GET] {
        let alone = (false, "none".to_owned());
        assert_eq!(key_of(&client, method, None).await, alone);
    }
}

#[tokio::test]
async fn every_post_gets_a_key_where_that_is_wanted() {
    let client = client(IdempotencyMiddleware::new().key_every_post());
    for method in [Method::POST, Method::PATCH] {
        let (is_retried, key) = key_of(&client, method, None).await;
        // A UUID in quotes.
        assert_eq!((is_retried, key.len()), (true, 38));
    }
    assert_eq!(
        key_of(&client, Method::GET, None).await,
        (false, "none".to_owned())
    );
    let own = key_of(&client, Method::POST, Some("own")).await;
    assert_eq!(own, (false, "own".to_owned()));
}

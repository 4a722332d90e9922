//! A key that somebody else has.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, routing::post};
use tokio::sync::Notify;
use tower_idempotency_client::{AnswerExt, IdempotencyMiddleware, Operation, Outcome};

use crate::support::{EachTry, Payments, client, client_with, pay, protected, quick, serve};

#[tokio::test]
async fn a_request_in_progress_is_waited_for() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&go_on));
    let work = async move || {
        begins.notify_one();
        goes_on.notified().await;
        StatusCode::CREATED
    };
    let server = serve(protected(Router::new().route("/payments", post(work)))).await;
    let operation = Operation::new();
    // However slow the machine is, it is not cut off.
    let patient = quick()
        .total(Duration::from_secs(300))
        .per_try(Duration::from_secs(300));
    let first = tokio::spawn(pay(&client(patient), server, &operation).send());
    begun.notified().await;

    // The first one ends when the second one has had its 409.
    let second = EachTry::new(move |number| {
        if number == 2 {
            go_on.notify_one();
        }
    });
    let second = client_with(IdempotencyMiddleware::new().retry(quick()), second);
    let second = pay(&second, server, &operation).send().await.unwrap();
    assert_eq!((second.status().as_u16(), second.is_replay()), (201, true));
    assert!(second.tries() >= 2);
    assert!(!first.await.unwrap().unwrap().is_replay());
}

#[tokio::test]
async fn a_key_of_another_request_is_refused_once() {
    let payments = Payments::start(0, |_| {}).await;
    let (client, operation) = (payments.client(quick()), Operation::new());
    payments.pay(&client, &operation).send().await.unwrap();

    let other = payments.pay(&client, &operation).body("13.50").send().await;
    assert_eq!(Outcome::of(&other), Outcome::Unknown);
    let other = other.unwrap();
    assert_eq!((other.status().as_u16(), other.tries()), (422, 1));
    assert_eq!(other.problem_code(), Some("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(payments.runs(), 1);
}

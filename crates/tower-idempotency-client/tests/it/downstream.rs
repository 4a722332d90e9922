//! Calls from inside a handler.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, http::StatusCode, routing::post};
use tower_idempotency::Idempotency;
use tower_idempotency_client::{AnswerExt, Operation};

use crate::support::{Payments, client, pay, protected, quick, serve};

#[tokio::test]
async fn a_call_is_carried_out_once_though_its_handler_runs_twice() {
    let provider = Arc::new(Payments::start(0, |_| {}).await);
    let runs = Arc::<AtomicU64>::default();
    let (charged, counted) = (Arc::clone(&provider), Arc::clone(&runs));
    let order = async move |idempotency: Idempotency| {
        let charge = Operation::from(idempotency.derive_key("charge"));
        let charge = charged.pay(&client(quick()), &charge).send().await.unwrap();
        // The first run fails behind the call.
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            _ => (StatusCode::CREATED, format!("{}", charge.is_replay())),
        }
    };
    let shop = serve(protected(Router::new().route("/payments", post(order)))).await;
    let answer = pay(&client(quick()), shop, &Operation::new())
        .send()
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.tries()), (201, 2));
    assert_eq!(answer.text().await.unwrap(), "true");
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert_eq!(provider.runs(), 1);
}

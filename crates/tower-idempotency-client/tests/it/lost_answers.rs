//! The server has paid, and the answer gets lost.

use std::time::Duration;

use fault_proxy::{Direction, Fault, FaultProxy};
use tower_idempotency_client::{AnswerExt, Operation, Outcome, Replay};

use crate::support::{Payments, quick};

/// Pays while the first run does this to the proxy, which is mended before the second try.
async fn pays_once(length: usize, first: impl Fn(&FaultProxy) + Clone + Send + Sync + 'static) {
    let payments = Payments::start(length, first).await;
    let operation = Operation::new();
    let client = payments.client(quick().per_try(Duration::from_millis(500)));
    let sent = payments.pay(&client, &operation).send().await;
    assert_eq!(Outcome::of(&sent), Outcome::Done);
    assert!(!operation.is_in_doubt());
    let answer = sent.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.replay()),
        (201, Replay::Whole)
    );
    assert!(answer.tries() >= 2);
    let body = answer.text().await.unwrap();
    assert_eq!(body, format!("paid 1 {}", "x".repeat(length)));
    assert_eq!(payments.runs(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_is_a_replay() {
    pays_once(0, |proxy| proxy.set(Fault::CutAfter(0))).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    pays_once(200_000, |proxy| proxy.set(Fault::CutAfter(100_000))).await;
}

#[tokio::test]
async fn a_connection_that_is_killed_is_made_again() {
    pays_once(0, FaultProxy::reset).await;
}

#[tokio::test]
async fn an_answer_that_never_comes_is_asked_for_again() {
    pays_once(0, |proxy| proxy.set(Fault::BlackHole(Direction::ToClient))).await;
}

#[tokio::test]
async fn a_first_answer_is_no_replay() {
    let payments = Payments::start(0, |_| {}).await;
    let sent = payments
        .pay(&payments.client(quick()), &Operation::new())
        .send();
    let answer = sent.await.unwrap();
    assert_eq!(
        (answer.replay(), answer.is_kept(), answer.tries()),
        (Replay::No, true, 1)
    );
}

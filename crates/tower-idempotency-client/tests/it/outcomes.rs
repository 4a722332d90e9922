//! Done, not sent, or unknown.

use std::time::Duration;

use axum::{Router, response::Redirect, routing::post};
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};
use tower_idempotency_client::{
    AnswerExt, IdempotencyKey, Operation, Outcome, RetryPolicy, SendErrorKind, WithOperation,
};

use crate::{
    script::{Act, answer, play},
    support::{brief, client, failure, nobody, pay, quick, serve},
};

const REUSED: &str = r#"{"code":"IDEMPOTENCY_KEY_REUSED"}"#;
const KEPT: (&str, &str) = ("x-idempotency-stored", "true");

/// What becomes of an operation, and in how many tries, when a server plays this.
async fn outcome(operation: &Operation, acts: &[Act]) -> (Outcome, u32) {
    let sent = play(quick(), operation, acts).await;
    let tries = sent
        .as_ref()
        .map_or_else(|_| failure(&sent).1, AnswerExt::tries);
    (Outcome::of(&sent), tries)
}

#[tokio::test(start_paused = true)]
async fn answers_are_told_apart() {
    let none = ("x-none", "");
    let (done, unknown) = (Outcome::Done, Outcome::Unknown);
    let sold_out = Act::Answer(409, ("retry-after", "1"), r#"{"code":"SOLD_OUT"}"#);
    let cases = [
        (vec![answer(201)], (done, 1)),
        (vec![answer(304)], (done, 1)),
        (vec![answer(400)], (done, 1)),
        (vec![answer(425)], (done, 1)),
        (vec![Act::Answer(500, KEPT, "")], (done, 1)),
        (vec![sold_out], (done, 1)),
        (vec![Act::Answer(422, none, "{}")], (done, 1)),
        (vec![Act::Answer(422, none, REUSED)], (unknown, 1)),
        (vec![answer(408), answer(201)], (done, 2)),
        (vec![answer(429), answer(400)], (done, 2)),
        (vec![answer(500), answer(201)], (done, 2)),
        (vec![Act::Break, answer(201)], (done, 2)),
        // A refusal says nothing about what was sent before.
        (vec![Act::Break, answer(401)], (unknown, 2)),
        (vec![answer(502), answer(404)], (unknown, 2)),
        (vec![Act::Break, Act::Answer(404, KEPT, "")], (done, 2)),
    ];
    for (number, (acts, expected)) in cases.into_iter().enumerate() {
        let operation = Operation::new();
        assert_eq!(outcome(&operation, &acts).await, expected, "case {number}");
        let is_open = expected.0 == Outcome::Unknown;
        assert_eq!(operation.is_in_doubt(), is_open, "case {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_may_have_been_sent_is_not_done_by_a_refusal() {
    let operation = Operation::with_key(IdempotencyKey::new("invoice-17").unwrap());
    assert_eq!(
        outcome(&operation, &[answer(401)]).await,
        (Outcome::Unknown, 1)
    );
    assert_eq!(outcome(&operation, &[Act::Wait]).await.0, Outcome::Unknown);
    assert_eq!(
        outcome(&operation, &[answer(201)]).await,
        (Outcome::Done, 1)
    );
    assert!(!operation.is_in_doubt());

    let operation = operation.never_sent();
    assert_eq!(
        outcome(&operation, &[answer(401)]).await,
        (Outcome::Done, 1)
    );
    assert!(!operation.is_in_doubt());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_leaves_its_operation_in_doubt() {
    let operation = Operation::new();
    let sent = play(RetryPolicy::new(), &operation, &[Act::Hang]);
    assert!(timeout(Duration::from_secs(1), sent).await.is_err());
    assert!(operation.is_in_doubt());
}

#[tokio::test]
async fn nothing_is_sent_where_nobody_listens() {
    let operation = Operation::new();
    let sent = pay(&client(brief()), nobody().await, &operation)
        .send()
        .await;
    assert_eq!(failure(&sent), (SendErrorKind::NotSent, 3));
    assert_eq!(Outcome::of(&sent), Outcome::NotSent);
    assert!(!operation.is_in_doubt());
}

#[tokio::test]
async fn what_was_sent_once_is_never_called_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    // It takes one request, and dies over it.
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_u8().await.unwrap();
    });
    let operation = Operation::new();
    let sent = pay(&client(brief()), server, &operation).send().await;
    assert_eq!(failure(&sent), (SendErrorKind::OutcomeUnknown, 3));
    // The error of the last try alone says that there was no connection.
    let sent = pay(&client(brief()), server, &operation).send().await;
    assert_eq!(failure(&sent).0, SendErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn a_server_that_redirects_to_nobody_was_reached() {
    let receipt = format!("http://{}/receipt", nobody().await);
    let app = Router::new().route("/payments", post(async move || Redirect::to(&receipt)));
    let sent = pay(&client(brief()), serve(app).await, &Operation::new())
        .send()
        .await;
    let error = sent.as_ref().unwrap_err();
    let shown = format!("{error:?}");
    assert!(shown.contains("Connect"), "{shown}");
    assert_eq!(failure(&sent).0, SendErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_tried_again() {
    let client = client(quick());
    let request = client
        .post("ftp://server.test/")
        .operation(&Operation::new());
    let sent = request.send().await;
    assert_eq!(failure(&sent), (SendErrorKind::NotSent, 1));
}

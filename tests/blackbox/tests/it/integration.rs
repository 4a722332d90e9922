//! LAY: beside other layers, and without axum.

use blackbox::{Fixture, StoreKind, eventually, scenarios};

scenarios! {
    [memory, sqlite, postgres]
        lay_03_two_compressions_of_one_body_are_one_request,
        lay_05_panics_are_caught_inside_and_outside,
        lay_06_the_handler_runs_in_the_requests_span,
        lay_07_limits_inside_are_honoured,
        lay_08_every_outcome_is_counted_once,
        lay_08_a_panicking_hook_harms_nobody,
        lay_09_the_layer_may_be_there_twice,
        lay_10_a_skipped_request_passes_by,
        lay_12_the_layer_works_without_axum,
        keys_in_the_body_are_found
}

/// The same text, deflated at two times: only the header of the gzip stream differs.
const GZIP_THEN: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 203, 72, 205, 201, 201, 7, 0, 134, 166, 16, 54, 5, 0, 0, 0,
];
const GZIP_NOW: &[u8] = &[
    31, 139, 8, 0, 1, 2, 3, 4, 0, 3, 203, 72, 205, 201, 201, 7, 0, 134, 166, 16, 54, 5, 0, 0, 0,
];

async fn lay_03_two_compressions_of_one_body_are_one_request(store: StoreKind) {
    let fixture = Fixture::start(store, &["--decompression"]).await;
    let request = fixture.post("/echo").key("k").content_type("text/plain");
    let first = request
        .clone()
        .header("content-encoding", "gzip")
        .body(GZIP_THEN);
    let first = first.send().await;
    assert_eq!((first.status, first.text().as_str()), (201, "hello"));
    let retry = request
        .clone()
        .header("content-encoding", "gzip")
        .body(GZIP_NOW);
    retry.send().await.assert_replay_of(&first);
    request.body("hello").send().await.assert_replay_of(&first);
}

async fn lay_05_panics_are_caught_inside_and_outside(store: StoreKind) {
    for side in ["inside", "outside"] {
        let fixture = Fixture::start(store, &["--catch-panic", side]).await;
        let request = fixture.post("/panic?once=1").key("k");
        assert_eq!(request.clone().send().await.status, 500);
        let second = request.clone().send().await;
        assert_eq!(second.status, 201);
        request.send().await.assert_replay_of(&second);
    }
}

async fn lay_06_the_handler_runs_in_the_requests_span(store: StoreKind) {
    let fixture = Fixture::start(store, &["--trace", "--request-id"]).await;
    let reply = fixture
        .post("/echo")
        .key("k")
        .header("x-request-id", "span-77")
        .send()
        .await;
    assert!(reply.is_stored());
    eventually(|| async {
        let logs = fixture.logs();
        let mut lines = logs.lines();
        lines.any(|line| line.contains("a handler runs") && line.contains("span-77"))
    })
    .await;
}

async fn lay_07_limits_inside_are_honoured(store: StoreKind) {
    for limit in [["--concurrency-limit", "1"], ["--buffer", "1"]] {
        let fixture = Fixture::start(store, &limit).await;
        let sent = (0..10).map(|n| fixture.post("/slow?ms=5").key(format!("k-{n}")).send());
        for reply in futures_util::future::join_all(sent).await {
            assert!(reply.is_stored());
        }
        let first = fixture.post("/uuid").key("k").send().await;
        fixture
            .post("/uuid")
            .key("k")
            .send()
            .await
            .assert_replay_of(&first);
    }
}

async fn lay_08_every_outcome_is_counted_once(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let running = tokio::spawn(fixture.post("/gate/g").key("running").send());
    fixture.at_gate("g", 1).await;
    let _ = fixture.post("/gate/g").key("running").send().await;
    let _ = fixture
        .post("/gate/g")
        .key("running")
        .body("other")
        .send()
        .await;
    fixture.release("g").await;
    assert!(running.await.unwrap().is_stored());
    let _ = fixture.post("/gate/g").key("running").send().await;
    let _ = fixture.post("/status/500").key("failed").send().await;
    let _ = fixture.post("/echo").send().await;
    for outcome in [
        "Executed(Stored)",
        "Executed(Released)",
        "Replayed { cached: false }",
        "Refused(RequestInProgress)",
        "Refused(IdempotencyKeyReused)",
    ] {
        assert_eq!(fixture.outcome(outcome).await, 1, "{outcome}");
    }
}

async fn lay_08_a_panicking_hook_harms_nobody(store: StoreKind) {
    let fixture = Fixture::start(store, &["--hook", "panic"]).await;
    let first = fixture.post("/uuid").key("k").send().await;
    assert!(first.is_stored());
    fixture
        .post("/uuid")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn lay_09_the_layer_may_be_there_twice(store: StoreKind) {
    let fixture = Fixture::start(store, &["--stack-twice"]).await;
    let first = fixture.post("/uuid").key("k").send().await;
    assert!(first.is_stored());
    fixture
        .post("/uuid")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn lay_10_a_skipped_request_passes_by(store: StoreKind) {
    let fixture = Fixture::start(store, &["--skip-header", "x-internal"]).await;
    let request = fixture.post("/echo").key("k").header("x-internal", "1");
    for _ in 0..2 {
        request.clone().send().await.assert_executed(201);
    }
    assert!(fixture.rows().await.is_empty());
}

async fn lay_12_the_layer_works_without_axum(store: StoreKind) {
    let fixture = Fixture::start(store, &["--plain"]).await;
    let request = fixture.post("/echo").key("k").body("a");
    let first = request.clone().send().await;
    assert_eq!((first.status, first.text().as_str()), (201, "a"));
    assert!(first.is_stored());
    request.send().await.assert_replay_of(&first);
    let other = fixture.post("/echo").key("k").body("b").send().await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let running = tokio::spawn(fixture.post("/gate/g").key("k").send());
    fixture.at_gate("g", 1).await;
    let duplicate = fixture.post("/gate/g").key("k").send().await;
    duplicate.assert_problem(409, "REQUEST_IN_PROGRESS");
    fixture.release("g").await;
    assert!(running.await.unwrap().is_stored());
}

/// Webhooks: the first pointer that finds something wins, and what has no key passes through.
async fn keys_in_the_body_are_found(store: StoreKind) {
    let arguments = ["--key-pointer", "/id", "--key-pointer", "/data/id"];
    let fixture = Fixture::start(store, &arguments).await;
    for body in [r#"{"id":"a"}"#, r#"{"data":{"id":"b"}}"#, r#"{"id":7}"#] {
        let request = fixture.post("/echo").body(body);
        let first = request.clone().send().await;
        assert!(first.is_stored(), "{body}");
        request.send().await.assert_replay_of(&first);
    }
    for body in ["{}", "no json"] {
        fixture
            .post("/echo")
            .body(body)
            .send()
            .await
            .assert_executed(201);
    }
    let wrong = fixture.post("/echo").body(r#"{"id":["a"]}"#).send().await;
    wrong.assert_problem(400, "IDEMPOTENCY_KEY_INVALID");
    assert_eq!(fixture.rows().await.len(), 3);
}

//! STR: sizes of responses, and streams.

use blackbox::{Fixture, StoreKind, raw, scenarios};

scenarios! {
    [memory, sqlite, postgres]
        str_01_an_oversized_response_is_executed_once,
        str_02_a_response_as_large_as_the_cap_is_kept,
        str_04_an_event_stream_is_not_held_back,
        str_05_a_body_that_breaks_off_runs_again,
        str_07_a_client_that_leaves_while_it_sends_leaves_no_trace,
        str_08_a_trickled_body_claims_nothing_while_it_comes
}

async fn str_01_an_oversized_response_is_executed_once(store: StoreKind) {
    let fixture = Fixture::start(store, &["--max-response", "20000"]).await;
    for (key, path) in [
        ("whole", "/large?bytes=20001"),
        ("pieces", "/large?bytes=20001&chunked=1"),
    ] {
        let first = fixture.post(path).key(key).send().await;
        assert_eq!((first.status, first.body.len()), (201, 20001));
        assert!(first.is_stored());
        let retry = fixture.post(path).key(key).send().await;
        assert_eq!((retry.status, retry.body.len()), (201, 0));
        assert_eq!(retry.header("x-idempotency-replay"), Some("omitted"));
        assert_eq!(retry.header("content-type"), Some("text/plain"));
    }
    assert_eq!(fixture.count("/large").await, 2);
}

async fn str_02_a_response_as_large_as_the_cap_is_kept(store: StoreKind) {
    let fixture = Fixture::start(store, &["--max-response", "20000"]).await;
    for (key, path) in [
        ("whole", "/large?bytes=20000"),
        ("pieces", "/large?bytes=20000&chunked=1"),
    ] {
        let first = fixture.post(path).key(key).send().await;
        fixture
            .post(path)
            .key(key)
            .send()
            .await
            .assert_replay_of(&first);
    }
}

async fn str_04_an_event_stream_is_not_held_back(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let mut events = fixture.post("/sse?n=3&gate=g").key("k").open().await;
    assert_eq!(events.next().await.unwrap(), "data: 0\n\n");
    // The handler has not ended, and is known to have run all the same.
    let retry = fixture.post("/sse?n=3&gate=g").key("k").send().await;
    assert_eq!((retry.status, retry.body.len()), (200, 0));
    assert_eq!(retry.header("x-idempotency-replay"), Some("omitted"));
    fixture.release("g").await;
    let mut rest = Vec::new();
    while let Some(event) = events.next().await {
        rest.extend_from_slice(&event);
    }
    assert_eq!(rest, b"data: 1\n\ndata: 2\n\n");
    assert_eq!(fixture.count("/sse").await, 1);
}

async fn str_05_a_body_that_breaks_off_runs_again(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = fixture.post("/abort-body?once=1&after=10").key("k");
    // The client sees that something is missing: within the body, or before the head is flushed.
    let first = request.clone().try_send().await;
    assert!(first.is_err() || first.is_ok_and(|first| first.broken));
    let second = request.clone().send().await;
    assert_eq!(
        (second.text().as_str(), second.is_stored()),
        ("whole", true)
    );
    request.send().await.assert_replay_of(&second);
}

async fn str_07_a_client_that_leaves_while_it_sends_leaves_no_trace(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let whole = raw::post("/echo", b"Idempotency-Key: k\r\n", b"0123456789");
    let mut connection = raw::Connection::open(fixture.addr()).await;
    connection.send(&whole[..whole.len() - 5]).await;
    connection.reset();
    let request = fixture.post("/echo").key("k").body("0123456789");
    assert!(request.send().await.is_stored());
    assert_eq!(fixture.count("/echo").await, 1);
}

async fn str_08_a_trickled_body_claims_nothing_while_it_comes(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let whole = raw::post("/echo", b"Idempotency-Key: k\r\n", b"0123456789");
    let mut connection = raw::Connection::open(fixture.addr()).await;
    connection.send(&whole[..whole.len() - 5]).await;
    assert!(fixture.rows().await.is_empty());
    for byte in &whole[whole.len() - 5..] {
        assert!(fixture.rows().await.is_empty());
        connection.send(&[*byte]).await;
    }
    assert_eq!(connection.read_answer().await.unwrap().status, 201);
    assert_eq!(fixture.rows().await.len(), 1);
}

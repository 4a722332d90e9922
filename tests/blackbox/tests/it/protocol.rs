//! HTTP: methods, sizes of requests, and other protocols.

use blackbox::{Fixture, StoreKind, raw, scenarios};
use http::Method;

scenarios! {
    [memory, sqlite, postgres]
        http_01_a_get_runs_each_time,
        http_02_other_methods_pass_by,
        http_03_other_methods_can_be_covered,
        http_03_no_method_at_all_can_be_covered,
        http_04_a_bad_key_is_refused_before_the_body_is_asked_for,
        http_06_an_announced_large_body_is_not_read,
        http_07_a_body_as_large_as_the_cap_is_fine,
        http_08_an_unannounced_large_body_is_refused,
        http_09_a_redirected_request_is_another_operation,
        http_10_a_stale_precondition_is_not_looked_at_again,
        http_11_another_accept_gets_the_first_representation,
        http_12_an_upgrade_passes_by,
        http_13_grpc_passes_by_with_its_trailers,
        http_2_is_served_alike
}

async fn http_01_a_get_runs_each_time(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let before = fixture.get("/counter").key("k").send().await;
    assert!(fixture.post("/echo").key("other").send().await.is_stored());
    let after = fixture.get("/counter").key("k").send().await;
    assert_ne!(before.body, after.body);
    assert_eq!(fixture.rows().await.len(), 1);
}

async fn http_02_other_methods_pass_by(store: StoreKind) {
    let fixture = Fixture::start(store, &["--required", "--cors"]).await;
    for method in [
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
    ] {
        for _ in 0..2 {
            let reply = fixture
                .request(method.clone(), "/method")
                .key("k")
                .send()
                .await;
            assert_eq!((reply.status, reply.is_replay()), (200, false), "{method}");
        }
    }
    let preflight = fixture
        .request(Method::OPTIONS, "/echo")
        .header("origin", "https://a.example");
    let preflight = preflight
        .header("access-control-request-method", "POST")
        .send()
        .await;
    assert_eq!(preflight.status, 200);
    assert!(
        preflight
            .headers
            .contains_key("access-control-allow-methods")
    );
    assert!(fixture.rows().await.is_empty());
}

async fn http_03_other_methods_can_be_covered(store: StoreKind) {
    let fixture = Fixture::start(store, &["--methods", "PUT,DELETE"]).await;
    for method in [Method::PUT, Method::DELETE] {
        let request = fixture.request(method, "/method").key("k");
        let first = request.clone().send().await;
        request.send().await.assert_replay_of(&first);
    }
    assert!(!fixture.post("/echo").key("k").send().await.is_stored());
}

async fn http_03_no_method_at_all_can_be_covered(store: StoreKind) {
    let fixture = Fixture::start(store, &["--methods", ""]).await;
    for _ in 0..2 {
        fixture
            .post("/echo")
            .key("k")
            .send()
            .await
            .assert_executed(201);
    }
    assert!(fixture.rows().await.is_empty());
}

async fn http_04_a_bad_key_is_refused_before_the_body_is_asked_for(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = b"POST /echo HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer alice\r\n\
        Expect: 100-continue\r\nIdempotency-Key: \"broken\r\nContent-Length: 5\r\n\
        Connection: close\r\n\r\n";
    let reply = raw::exchange(fixture.addr(), request).await;
    let reply = String::from_utf8_lossy(&reply);
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    assert!(!reply.contains("100 Continue"));
}

async fn http_06_an_announced_large_body_is_not_read(store: StoreKind) {
    let fixture = Fixture::start(store, &["--max-body", "100"]).await;
    // The body is never sent: whoever waited for it would not answer.
    let request = b"POST /echo HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer alice\r\n\
        Idempotency-Key: k\r\nContent-Length: 101\r\n\r\n";
    let mut connection = raw::Connection::open(fixture.addr()).await;
    connection.send(request).await;
    let answer = connection.read_answer().await.unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "REQUEST_TOO_LARGE")
    );
    assert_eq!(fixture.count("/echo").await, 0);
    assert!(fixture.rows().await.is_empty());
}

async fn http_07_a_body_as_large_as_the_cap_is_fine(store: StoreKind) {
    let fixture = Fixture::start(store, &["--max-body", "100"]).await;
    let request = fixture.post("/echo").key("k").body("x".repeat(100));
    let first = request.clone().send().await;
    assert!(first.is_stored());
    request.send().await.assert_replay_of(&first);
    let unkeyed = fixture.post("/echo").body("x".repeat(101)).send().await;
    assert_eq!(unkeyed.status, 201, "the cap is for keyed requests");
}

async fn http_08_an_unannounced_large_body_is_refused(store: StoreKind) {
    let fixture = Fixture::start(store, &["--max-body", "100"]).await;
    let request = fixture
        .post("/echo")
        .key("k")
        .chunked(["x".repeat(60), "x".repeat(60)]);
    request
        .send()
        .await
        .assert_problem(413, "REQUEST_TOO_LARGE");
    assert!(fixture.rows().await.is_empty());
    let request = fixture
        .post("/echo")
        .key("k")
        .chunked(["x".repeat(60), "x".repeat(40)]);
    assert!(request.send().await.is_stored());
}

/// 307 and 308 make a client send the key on to another address.
async fn http_09_a_redirected_request_is_another_operation(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = fixture
        .post("/redirect/307")
        .key("k")
        .body("x")
        .send()
        .await;
    assert_eq!(
        (first.status, first.header("location")),
        (307, Some("/echo"))
    );
    let hop = fixture.post("/echo").key("k").body("x").send().await;
    hop.assert_executed(201);
    let retry = fixture
        .post("/redirect/307")
        .key("k")
        .body("x")
        .send()
        .await;
    retry.assert_replay_of(&first);
    fixture
        .post("/echo")
        .key("k")
        .body("x")
        .send()
        .await
        .assert_replay_of(&hop);

    let fixture = Fixture::start(store, &["--scope-principal-only"]).await;
    let first = fixture
        .post("/redirect/307")
        .key("k")
        .body("x")
        .send()
        .await;
    assert_eq!(first.status, 307);
    let hop = fixture.post("/echo").key("k").body("x").send().await;
    hop.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
}

async fn http_10_a_stale_precondition_is_not_looked_at_again(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let etag = fixture.patch("/document").key("first").send().await;
    let etag = etag.header("etag").unwrap().to_owned();
    let request = fixture
        .patch("/document")
        .key("k")
        .header("if-match", &etag);
    let first = request.clone().send().await;
    assert_eq!(first.status, 200);
    request.send().await.assert_replay_of(&first);
    let other = fixture
        .patch("/document")
        .key("other")
        .header("if-match", &etag);
    assert_eq!(other.send().await.status, 412);
}

async fn http_11_another_accept_gets_the_first_representation(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = fixture.post("/uuid").key("k");
    let first = request.clone().header("accept", "text/plain").send().await;
    request
        .header("accept", "application/json")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn http_12_an_upgrade_passes_by(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = b"POST /upgrade HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer alice\r\n\
        Idempotency-Key: k\r\nConnection: upgrade\r\nUpgrade: echo\r\nContent-Length: 0\r\n\r\n";
    let mut connection = raw::Connection::open(fixture.addr()).await;
    connection.send(request).await;
    let head = connection.read_until(b"\r\n\r\n").await;
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    connection.send(b"ping").await;
    assert_eq!(connection.read_until(b"ping").await, b"ping");
    assert!(fixture.rows().await.is_empty());
}

async fn http_13_grpc_passes_by_with_its_trailers(store: StoreKind) {
    let fixture = Fixture::start(store, &["--required"]).await;
    let h2 = fixture.h2().await;
    for run in 1..=2 {
        let request = h2
            .post("/grpc")
            .key("k")
            .content_type("application/grpc+proto");
        let reply = request.body("message").send().await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "message"));
        assert!(
            reply
                .trailers
                .is_some_and(|trailers| trailers["grpc-status"] == "0")
        );
        assert_eq!(fixture.count("/grpc").await, run);
    }
    assert!(fixture.rows().await.is_empty());
}

async fn http_2_is_served_alike(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let h2 = fixture.h2().await;
    let first = h2.post("/uuid").key("k").send().await;
    assert!(first.is_stored());
    h2.post("/uuid")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
    fixture
        .post("/uuid")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
    h2.post("/uuid")
        .key("k")
        .body("x")
        .send()
        .await
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
}

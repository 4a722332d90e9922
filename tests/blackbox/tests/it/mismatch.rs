//! One key with another request (MIS).

use blackbox::{Fixture, Reply, StoreKind, fresh_key, scenarios};
use http::Method;
use serde_json::json;

scenarios! {
    pooled;
    [memory, sqlite, postgres]
    mis_01_another_body_is_refused,
    mis_02_a_mismatch_does_not_poison_the_key,
    mis_03_another_query_is_refused,
    mis_04_another_route_is_another_operation,
    mis_04_another_route_is_refused_where_keys_span_routes,
    mis_04_another_parameter_of_the_same_route_is_refused,
    mis_05_another_method_is_another_operation,
    mis_05_another_method_is_refused_where_keys_span_routes,
    mis_06_another_content_type_is_refused,
    mis_07_the_order_of_json_members_counts,
    mis_07_the_order_does_not_count_in_canonical_json,
    mis_08_an_excluded_member_does_not_count,
    mis_08_a_header_counts_where_that_was_chosen,
    mis_09_a_mismatch_is_told_while_the_first_request_runs,
    mis_09_a_waiter_does_not_wait_with_another_request,
    mis_11_headers_that_differ_between_tries_do_not_count,
    mis_14_a_422_of_the_handler_is_replayed_as_it_is,
    mis_15_a_new_multipart_boundary_is_another_request,
    mis_15_a_digest_of_the_clients_makes_it_the_same;
}

#[track_caller]
fn reused(reply: &Reply) {
    reply.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(reply.header("retry-after"), None, "no retry can help");
}

async fn mis_01_another_body_is_refused(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/echo").key(fresh_key());
    call.clone()
        .body("amount=1")
        .send()
        .await
        .assert_executed(201);
    let before = fixture.rows().await;
    for other in ["amount=2", "amount=1 ", "amount=", ""] {
        reused(&call.clone().body(other).send().await);
    }
    assert_eq!(fixture.count("/echo").await, 1);
    assert_eq!(fixture.rows().await, before, "a mismatch changes nothing");
}

async fn mis_02_a_mismatch_does_not_poison_the_key(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/echo").key(fresh_key());
    let first = call.clone().body("amount=1").send().await;
    reused(&call.clone().body("amount=2").send().await);
    call.body("amount=1").send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/echo").await, 1);
}

async fn mis_03_another_query_is_refused(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    let first = fixture.post("/uuid?a=1&b=2").key(&key).send().await;
    for path in [
        "/uuid?a=2&b=2",
        "/uuid?b=2&a=1",
        "/uuid?a=1&b=2&",
        "/uuid?",
        "/uuid",
    ] {
        reused(&fixture.post(path).key(&key).send().await);
    }
    let retry = fixture.post("/uuid?a=1&b=2").key(&key).send().await;
    retry.assert_replay_of(&first);
}

async fn mis_04_another_route_is_another_operation(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    let paths = ["/echo", "/uuid", "/v1/pay/7", "/v2/pay/7"];
    for path in paths {
        fixture
            .post(path)
            .key(&key)
            .send()
            .await
            .assert_executed(201);
    }
    for path in paths {
        assert!(fixture.post(path).key(&key).send().await.is_replay());
        assert_eq!(fixture.count(path).await, 1, "{path}");
    }
}

async fn mis_04_another_route_is_refused_where_keys_span_routes(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--scope-principal-only"]).await;
    let key = fresh_key();
    fixture
        .post("/echo")
        .key(&key)
        .send()
        .await
        .assert_executed(201);
    for path in ["/uuid", "/v1/pay/7"] {
        reused(&fixture.post(path).key(&key).send().await);
        assert_eq!(fixture.count(path).await, 0);
    }
}

/// The route is the template: `/v1/pay/7` and `/v1/pay/8` are one route and two requests.
async fn mis_04_another_parameter_of_the_same_route_is_refused(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    fixture
        .post("/v1/pay/7")
        .key(&key)
        .send()
        .await
        .assert_executed(201);
    reused(&fixture.post("/v1/pay/8").key(&key).send().await);
    assert_eq!(fixture.count("/v1/pay/{id}").await, 1);
}

async fn mis_05_another_method_is_another_operation(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    for method in [Method::POST, Method::PATCH] {
        let reply = fixture.request(method, "/echo").key(&key).send().await;
        reply.assert_executed(201);
        assert!(reply.is_stored());
    }
}

async fn mis_05_another_method_is_refused_where_keys_span_routes(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--scope-principal-only"]).await;
    let key = fresh_key();
    fixture
        .post("/echo")
        .key(&key)
        .send()
        .await
        .assert_executed(201);
    reused(&fixture.patch("/echo").key(&key).send().await);
    assert_eq!(fixture.count("/echo").await, 1);
}

async fn mis_06_another_content_type_is_refused(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/echo").key(fresh_key()).body("{}");
    let first = call.clone().content_type("application/json").send().await;
    first.assert_executed(201);
    reused(&call.clone().content_type("text/plain").send().await);
    reused(&call.clone().send().await);
    let retry = call.content_type("application/json").send().await;
    retry.assert_replay_of(&first);
}

async fn mis_07_the_order_of_json_members_counts(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture
        .post("/echo")
        .key(fresh_key())
        .content_type("application/json");
    let first = call.clone().body(r#"{"a":1,"b":2}"#).send().await;
    first.assert_executed(201);
    reused(&call.clone().body(r#"{"b":2,"a":1}"#).send().await);
    reused(&call.body(r#"{ "a": 1, "b": 2 }"#).send().await);
}

async fn mis_07_the_order_does_not_count_in_canonical_json(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--canonical-json"]).await;
    let call = fixture
        .post("/echo")
        .key(fresh_key())
        .content_type("application/json");
    let first = call.clone().body(r#"{"a":1,"b":[1,2]}"#).send().await;
    let retry = call.clone().body(r#"{ "b": [1, 2], "a": 1 }"#).send().await;
    retry.assert_replay_of(&first);
    // The order of a list has a meaning, and a value is a value.
    reused(&call.clone().body(r#"{"a":1,"b":[2,1]}"#).send().await);
    reused(&call.clone().body(r#"{"a":2,"b":[1,2]}"#).send().await);
    reused(&call.body(r#"{"a":1,"b":[1,2],"a":1}"#).send().await);
}

async fn mis_08_an_excluded_member_does_not_count(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--exclude-json", "/sent_at"]).await;
    let call = fixture.post("/echo").key(fresh_key());
    let sent = |amount: u32, at: u32| call.clone().json(&json!({"amount": amount, "sent_at": at}));
    let first = sent(1, 10).send().await;
    first.assert_executed(201);
    sent(1, 20).send().await.assert_replay_of(&first);
    reused(&sent(2, 10).send().await);
    assert_eq!(fixture.count("/echo").await, 1);
}

async fn mis_08_a_header_counts_where_that_was_chosen(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--fingerprint-header", "x-api-version"]).await;
    let call = fixture.post("/echo").key(fresh_key());
    let first = call.clone().header("x-api-version", "1").send().await;
    first.assert_executed(201);
    reused(&call.clone().header("x-api-version", "2").send().await);
    reused(&call.clone().send().await);
    let retry = call.header("x-api-version", "1").send().await;
    retry.assert_replay_of(&first);
}

async fn mis_09_a_mismatch_is_told_while_the_first_request_runs(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().body("amount=1").send());
    fixture.at_gate("g", 1).await;
    reused(&call.clone().body("amount=2").send().await);
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    first.assert_executed(201);
    call.body("amount=1").send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn mis_09_a_waiter_does_not_wait_with_another_request(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--wait-ms", "60000"]).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().body("amount=1").send());
    fixture.at_gate("g", 1).await;
    // Were it to wait, it would wait for the gate that is opened behind it.
    reused(&call.body("amount=2").send().await);
    fixture.release("g").await;
    first
        .await
        .expect("the first request is answered")
        .assert_executed(201);
}

async fn mis_11_headers_that_differ_between_tries_do_not_count(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/uuid").key(fresh_key()).body("x");
    let first = call
        .clone()
        .header("user-agent", "a/1")
        .header("accept", "*/*");
    let first = first
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("date", "Sat, 21 Nov 2026 00:00:00 GMT")
        .send()
        .await;
    first.assert_executed(201);
    let retry = call
        .header("user-agent", "b/2")
        .header("accept", "text/html");
    let retry = retry
        .header(
            "traceparent",
            "00-1bf7651916cd43dd8448eb211c80319d-c7ad6b7169203332-00",
        )
        .header("x-forwarded-for", "10.0.0.7")
        .bearer("alice.refreshed")
        .send()
        .await;
    retry.assert_replay_of(&first);
    assert_eq!(fixture.count("/uuid").await, 1);
}

async fn mis_14_a_422_of_the_handler_is_replayed_as_it_is(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/status/422").key(fresh_key());
    let first = call.clone().body("amount=-1").send().await;
    first.assert_executed(422);
    assert!(first.is_stored());
    let retry = call.clone().body("amount=-1").send().await;
    retry.assert_replay_of(&first);
    assert_eq!(retry.header("content-type"), Some("application/json"));
    assert_eq!(retry.json()["run"], 1);
    reused(&call.body("amount=1").send().await);
}

fn multipart(boundary: &str) -> (String, String) {
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--{boundary}--\r\n"
    );
    (format!("multipart/form-data; boundary={boundary}"), body)
}

async fn mis_15_a_new_multipart_boundary_is_another_request(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/echo").key(fresh_key());
    let send = |boundary| {
        let (content_type, body) = multipart(boundary);
        call.clone().content_type(&content_type).body(body).send()
    };
    send("one").await.assert_executed(201);
    reused(&send("two").await);
}

async fn mis_15_a_digest_of_the_clients_makes_it_the_same(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--fingerprint-only-header", "content-digest"]).await;
    let call = fixture.post("/echo").key(fresh_key());
    let send = |boundary, digest: &str| {
        let (content_type, body) = multipart(boundary);
        let call = call.clone().header("content-digest", digest);
        call.content_type(&content_type).body(body).send()
    };
    let first = send("one", "sha-256=:AA==:").await;
    first.assert_executed(201);
    send("two", "sha-256=:AA==:").await.assert_replay_of(&first);
    reused(&send("one", "sha-256=:BB==:").await);
}

//! MIS: one key, two requests.

use blackbox::{Fixture, Reply, StoreKind, scenarios};
use http::Method;
use serde_json::json;

scenarios! {
    [memory, sqlite, postgres]
        mis_01_another_body_is_refused_and_poisons_nothing,
        mis_03_another_query_is_refused,
        mis_04_another_route_is_another_key,
        mis_04_another_route_is_refused_if_keys_belong_to_the_principal,
        mis_05_another_method_is_another_route,
        mis_06_another_content_type_is_refused,
        mis_07_the_order_of_json_members_counts_unless_canonical,
        mis_08_an_excluded_member_does_not_count,
        mis_09_another_body_is_refused_while_the_first_runs,
        mis_11_headers_that_vary_do_not_count,
        mis_14_the_handlers_own_422_is_replayed,
        mis_15_a_new_multipart_boundary_counts,
        sec_03_a_mismatch_says_nothing_of_the_original
}

fn reused(reply: &Reply) {
    reply.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
}

async fn mis_01_another_body_is_refused_and_poisons_nothing(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = fixture.post("/echo").key("k").body("a").send().await;
    reused(&fixture.post("/echo").key("k").body("b").send().await);
    let again = fixture.post("/echo").key("k").body("a").send().await;
    again.assert_replay_of(&first);
    assert_eq!(fixture.count("/echo").await, 1);
}

async fn mis_03_another_query_is_refused(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    assert!(fixture.post("/echo?a=1").key("k").send().await.is_stored());
    reused(&fixture.post("/echo?a=2").key("k").send().await);
}

async fn mis_04_another_route_is_another_key(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    assert!(fixture.post("/echo").key("k").send().await.is_stored());
    assert!(fixture.post("/uuid").key("k").send().await.is_stored());
    // The routes of nested routers are told apart by their whole templates.
    assert!(fixture.post("/v1/pay/7").key("k").send().await.is_stored());
    assert!(fixture.post("/v2/pay/7").key("k").send().await.is_stored());
    reused(&fixture.post("/v1/pay/8").key("k").send().await);
}

async fn mis_04_another_route_is_refused_if_keys_belong_to_the_principal(store: StoreKind) {
    let fixture = Fixture::start(store, &["--scope-principal-only"]).await;
    assert!(fixture.post("/echo").key("k").send().await.is_stored());
    reused(&fixture.post("/uuid").key("k").send().await);
}

async fn mis_05_another_method_is_another_route(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    assert!(fixture.post("/echo").key("k").send().await.is_stored());
    assert!(
        fixture
            .request(Method::PATCH, "/echo")
            .key("k")
            .send()
            .await
            .is_stored()
    );
    let fixture = Fixture::start(store, &["--scope-principal-only"]).await;
    assert!(fixture.post("/echo").key("k").send().await.is_stored());
    reused(
        &fixture
            .request(Method::PATCH, "/echo")
            .key("k")
            .send()
            .await,
    );
}

async fn mis_06_another_content_type_is_refused(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = fixture.post("/echo").key("k").body("1");
    assert!(
        request
            .clone()
            .header("content-type", "text/plain")
            .send()
            .await
            .is_stored()
    );
    reused(
        &request
            .header("content-type", "application/json")
            .send()
            .await,
    );
}

async fn mis_07_the_order_of_json_members_counts_unless_canonical(store: StoreKind) {
    let send = async |fixture: &Fixture, body: &'static str| {
        let request = fixture.post("/echo").key("k");
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
    };
    let fixture = Fixture::start(store, &[]).await;
    assert!(send(&fixture, r#"{"a":1,"b":2}"#).await.is_stored());
    reused(&send(&fixture, r#"{"b":2,"a":1}"#).await);

    let fixture = Fixture::start(store, &["--canonical-json"]).await;
    assert!(send(&fixture, r#"{"a":1,"b":2}"#).await.is_stored());
    assert!(send(&fixture, r#"{ "b":2, "a":1 }"#).await.is_replay());
    reused(&send(&fixture, r#"{"a":1,"b":3}"#).await);
}

async fn mis_08_an_excluded_member_does_not_count(store: StoreKind) {
    let fixture = Fixture::start(store, &["--exclude-json", "/sent_at"]).await;
    let request = fixture.post("/echo").key("k");
    let first = request
        .clone()
        .json(&json!({ "amount": 1, "sent_at": "10:00" }));
    assert!(first.send().await.is_stored());
    let retry = request
        .clone()
        .json(&json!({ "amount": 1, "sent_at": "10:05" }));
    assert!(retry.send().await.is_replay());
    reused(
        &request
            .json(&json!({ "amount": 2, "sent_at": "10:00" }))
            .send()
            .await,
    );
}

async fn mis_09_another_body_is_refused_while_the_first_runs(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = tokio::spawn(fixture.post("/gate/g").key("k").body("a").send());
    fixture.at_gate("g", 1).await;
    reused(&fixture.post("/gate/g").key("k").body("b").send().await);
    fixture.release("g").await;
    assert_eq!(first.await.unwrap().status, 201);
}

async fn mis_11_headers_that_vary_do_not_count(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = fixture.post("/echo").key("k").body("x");
    let first = request
        .clone()
        .header("user-agent", "a")
        .header("accept", "text/html");
    let first = first.header("traceparent", "00-1").send().await;
    let retry = request.header("user-agent", "b").header("accept", "*/*");
    let retry = retry
        .header("traceparent", "00-2")
        .bearer("alice.refreshed")
        .send()
        .await;
    retry.assert_replay_of(&first);
}

async fn mis_14_the_handlers_own_422_is_replayed(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = fixture.post("/status/422").key("k").send().await;
    assert_eq!((first.status, first.code().as_str()), (422, ""));
    fixture
        .post("/status/422")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn mis_15_a_new_multipart_boundary_counts(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let send = async |boundary: &str| {
        let request = fixture.post("/echo").key("k");
        let kind = format!("multipart/form-data; boundary={boundary}");
        let body = format!("--{boundary}\r\n\r\nfile\r\n--{boundary}--");
        request
            .header("content-type", &kind)
            .body(body)
            .send()
            .await
    };
    assert!(send("one").await.is_stored());
    reused(&send("two").await);
}

async fn sec_03_a_mismatch_says_nothing_of_the_original(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let key = "guessed-key-0001";
    let original = fixture.post("/redirect/201").key(key).body("private");
    assert!(original.send().await.is_stored());
    let reply = fixture
        .post("/redirect/201")
        .key(key)
        .body("guess")
        .send()
        .await;
    reused(&reply);
    assert!(!reply.text().contains("private") && !reply.text().contains(key));
    assert_eq!(reply.header("location"), None);
}

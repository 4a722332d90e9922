//! RHP: which headers come back.

use std::io::Read;

use blackbox::{Fixture, Reply, StoreKind, scenarios};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

scenarios! {
    [memory, sqlite, postgres]
        rhp_01_what_describes_the_result_comes_back,
        rhp_02_what_belongs_to_the_connection_does_not,
        rhp_05_the_date_is_the_replays_own,
        rhp_06_a_cookie_is_set_once,
        rhp_07_cors_answers_the_origin_of_the_retry,
        rhp_08_identifiers_are_those_of_the_retry,
        rhp_09_compression_fits_the_retry,
        rhp_12_only_replays_are_marked_as_such,
        rhp_13_replays_and_refusals_are_not_cached,
        rhp_14_an_allow_list_leaves_the_rest_out,
        rhp_15_rate_limits_are_those_of_the_retry,
        rhp_17_the_mark_can_have_another_name
}

/// Has the handler set these headers, twice; returns the first answer and its replay.
async fn twice(fixture: &Fixture, headers: Value) -> (Reply, Reply) {
    let request = fixture.post("/headers").key("k").json(&headers);
    let first = request.clone().send().await;
    (first, request.send().await)
}

async fn rhp_01_what_describes_the_result_comes_back(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let headers = [
        ("content-type", "text/x-acme"),
        ("location", "/a/1"),
        ("etag", "\"v1\""),
        ("content-language", "de"),
        ("last-modified", "Sat, 21 Nov 2026 04:00:00 GMT"),
        ("x-acme", "1"),
        ("cache-control", "private, max-age=5"),
    ];
    let (_, replay) = twice(&fixture, json!(headers)).await;
    for (name, value) in headers {
        assert_eq!(replay.header(name), Some(value), "{name}");
    }
}

async fn rhp_02_what_belongs_to_the_connection_does_not(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let headers = [
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("trailer", "x-later"),
        ("www-authenticate", "Basic"),
        ("server", "acme"),
        ("retry-after", "7"),
        ("x-idempotency-replay", "true"),
    ];
    let (first, replay) = twice(&fixture, json!(headers)).await;
    assert_eq!(first.header("x-hop"), Some("1"));
    assert_eq!(
        first.header("x-idempotency-replay"),
        None,
        "the mark is the layer's"
    );
    assert_eq!(replay.header("x-idempotency-replay"), Some("true"));
    for (name, value) in headers
        .iter()
        .filter(|(name, _)| *name != "x-idempotency-replay")
    {
        assert_ne!(replay.header(name), Some(*value), "{name}");
    }
    assert_eq!(replay.text(), "headers");
}

async fn rhp_05_the_date_is_the_replays_own(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let then = "Thu, 01 Jan 1970 00:00:00 GMT";
    let (first, replay) = twice(&fixture, json!([["date", then], ["age", "9"]])).await;
    assert_eq!(first.header("date"), Some(then));
    assert!(replay.header("date").is_some_and(|date| date != then));
    assert_eq!(replay.header("age"), None);
}

async fn rhp_06_a_cookie_is_set_once(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let (first, replay) = twice(&fixture, json!([["set-cookie", "s=1"]])).await;
    assert_eq!(first.header("set-cookie"), Some("s=1"));
    assert_eq!(replay.header("set-cookie"), None);
    assert!(!format!("{:?}", fixture.rows().await).contains("set-cookie"));
}

/// Also LAY-01 and PROB-05: browsers see our headers, on refusals as well.
async fn rhp_07_cors_answers_the_origin_of_the_retry(store: StoreKind) {
    let fixture = Fixture::start(store, &["--cors"]).await;
    let origin = "access-control-allow-origin";
    let request = fixture.post("/echo").key("k").body("a");
    for site in ["https://a.example", "https://b.example"] {
        let reply = request.clone().header("origin", site).send().await;
        assert_eq!(reply.header(origin), Some(site));
    }
    let refused = fixture.post("/echo").key("k").body("b");
    let refused = refused.header("origin", "https://c.example").send().await;
    refused.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(refused.header(origin), Some("https://c.example"));
    let exposed = refused.header("access-control-expose-headers").unwrap();
    assert!(
        exposed.to_lowercase().contains("x-idempotency-replay"),
        "{exposed}"
    );
}

async fn rhp_08_identifiers_are_those_of_the_retry(store: StoreKind) {
    let fixture = Fixture::start(store, &["--request-id"]).await;
    let request = fixture.post("/echo").key("k");
    for id in ["one", "two"] {
        let reply = request
            .clone()
            .header("x-request-id", id)
            .header("traceparent", id);
        let reply = reply.send().await;
        assert_eq!(reply.header("x-request-id"), Some(id));
        assert_eq!(reply.header("traceparent"), Some(id));
    }
}

async fn rhp_09_compression_fits_the_retry(store: StoreKind) {
    let fixture = Fixture::start(store, &["--compression"]).await;
    let body = "compress me ".repeat(100);
    let request = |key| {
        fixture
            .post("/echo")
            .key(key)
            .content_type("text/plain")
            .body(body.clone())
    };
    for (key, order) in [("a", ["gzip", "identity"]), ("b", ["identity", "gzip"])] {
        for encoding in order {
            let reply = request(key)
                .header("accept-encoding", encoding)
                .send()
                .await;
            if encoding == "gzip" {
                assert_eq!(reply.header("content-encoding"), Some("gzip"));
                assert!(reply.body.len() < body.len());
                let mut decoded = String::new();
                let mut decoder = GzDecoder::new(&reply.body[..]);
                decoder.read_to_string(&mut decoded).unwrap();
                assert_eq!(decoded, body);
            } else {
                assert_eq!(reply.header("content-encoding"), None);
                assert_eq!(reply.text(), body);
            }
        }
    }
}

async fn rhp_12_only_replays_are_marked_as_such(store: StoreKind) {
    let fixture = Fixture::start(store, &["--required"]).await;
    let replies = [
        fixture.post("/echo").key("k").body("a").send().await,
        fixture.post("/echo").send().await,
        fixture.post("/echo").key("k").body("b").send().await,
        fixture.post("/status/500").key("k").send().await,
    ];
    assert_eq!(
        replies.each_ref().map(|reply| reply.status),
        [201, 400, 422, 500]
    );
    for reply in replies {
        assert_eq!(reply.header("x-idempotency-replay"), None);
    }
}

async fn rhp_13_replays_and_refusals_are_not_cached(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = fixture.post("/echo").key("k").body("a");
    assert_eq!(request.clone().send().await.header("cache-control"), None);
    assert_eq!(
        request.send().await.header("cache-control"),
        Some("no-store")
    );
    let refused = fixture.post("/echo").key("k").body("b").send().await;
    assert_eq!(refused.header("cache-control"), Some("no-store"));
}

async fn rhp_14_an_allow_list_leaves_the_rest_out(store: StoreKind) {
    let fixture = Fixture::start(store, &["--allow-headers", "Location"]).await;
    let headers = json!([
        ["location", "/1"],
        ["etag", "\"1\""],
        ["content-type", "text/x-acme"]
    ]);
    let (first, replay) = twice(&fixture, headers).await;
    assert_eq!(first.header("etag"), Some("\"1\""));
    assert_eq!(replay.header("etag"), None);
    assert_eq!(replay.header("location"), Some("/1"));
    assert_eq!(replay.header("content-type"), Some("text/x-acme"));
}

/// Also LAY-02: a request over the limit leaves no record.
async fn rhp_15_rate_limits_are_those_of_the_retry(store: StoreKind) {
    let fixture = Fixture::start(store, &["--rate-limit"]).await;
    let request = fixture.post("/echo").key("k");
    let limited = request.clone().header("x-exhausted", "1").send().await;
    assert_eq!(limited.status, 429);
    assert!(fixture.rows().await.is_empty());
    let first = request.clone().send().await;
    let replay = request.send().await;
    assert!(replay.is_replay());
    let remaining = "ratelimit-remaining";
    assert_ne!(first.header(remaining), replay.header(remaining));
}

async fn rhp_17_the_mark_can_have_another_name(store: StoreKind) {
    let fixture = Fixture::start(store, &["--response-header", "Idempotent-Replayed"]).await;
    let request = fixture.post("/echo").key("k");
    assert_eq!(
        request.clone().send().await.header("idempotent-replayed"),
        None
    );
    let replay = request.send().await;
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    assert_eq!(replay.header("x-idempotency-replay"), None);
}

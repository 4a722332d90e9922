//! Execution and replay (EXE).

use std::time::Duration;

use blackbox::{Fixture, StoreKind, fresh_key, scenarios};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

scenarios! {
    pooled;
    [memory, sqlite, postgres]
    exe_01_the_first_request_runs_the_handler,
    exe_02_a_retry_is_replayed,
    exe_03_every_retry_is_replayed,
    exe_04_two_keys_run_twice,
    exe_05_requests_without_a_key_run_each_time_and_leave_no_record,
    exe_06_patch_is_covered,
    exe_07_a_replay_has_the_first_location,
    exe_08_a_binary_body_is_replayed_byte_by_byte,
    exe_10_an_empty_request_is_replayed,
    exe_11_every_content_type_is_replayed,
    exe_12_an_effect_happens_once,
    exe_13_the_handler_sees_the_key_without_its_quotes,
    exe_14_a_replay_is_kept_and_not_made_again,
    exe_15_the_handler_gets_the_request_unchanged,
    exe_15_how_a_request_is_framed_does_not_matter,
    exe_17_repeated_headers_keep_their_order;

    [sqlite, postgres]
    exe_18_a_retry_through_another_process_is_replayed,
    exe_12_an_effect_happens_once_however_many_clients_insist,
    exe_19_a_retry_after_a_restart_is_replayed,
    exe_19_a_retry_after_a_crash_is_replayed;
}

async fn exe_01_the_first_request_runs_the_handler(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/echo").key(fresh_key()).body("hello");
    let first = call.content_type("text/plain").send().await;
    first.assert_executed(201);
    assert!(first.is_stored());
    assert_eq!(first.text(), "hello");
    assert_eq!(first.header("content-type"), Some("text/plain"));
    assert_eq!(fixture.count("/echo").await, 1);
    let rows = fixture.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["state"], "completed");
    assert_eq!(rows[0]["attempt"], 1);
}

async fn exe_02_a_retry_is_replayed(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/echo").key(fresh_key()).body("hello");
    let first = call.clone().send().await;
    call.send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/echo").await, 1);
}

async fn exe_03_every_retry_is_replayed(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/uuid").key(fresh_key());
    let first = call.clone().send().await;
    for _ in 0..6 {
        call.clone().send().await.assert_replay_of(&first);
    }
    assert_eq!(fixture.count("/uuid").await, 1);
}

async fn exe_04_two_keys_run_twice(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for _ in 0..2 {
        let call = fixture.post("/echo").key(fresh_key()).body("the same");
        let reply = call.send().await;
        reply.assert_executed(201);
        assert!(reply.is_stored());
    }
    assert_eq!(fixture.count("/echo").await, 2);
}

async fn exe_05_requests_without_a_key_run_each_time_and_leave_no_record(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for _ in 0..2 {
        let reply = fixture.post("/echo").body("the same").send().await;
        reply.assert_executed(201);
        assert_eq!(reply.header("x-idempotency-stored"), None);
    }
    assert_eq!(fixture.count("/echo").await, 2);
    assert!(fixture.rows().await.is_empty());
}

async fn exe_06_patch_is_covered(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.patch("/echo").key(fresh_key()).body("half");
    let first = call.clone().send().await;
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/echo").await, 1);
}

async fn exe_07_a_replay_has_the_first_location(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/headers").key(fresh_key());
    let call = call.json(&json!([["Location", "/payments/17"]]));
    let first = call.clone().send().await;
    let retry = call.send().await;
    assert_eq!(first.header("location"), Some("/payments/17"));
    assert_eq!(retry.header("location"), Some("/payments/17"));
    retry.assert_replay_of(&first);
}

async fn exe_08_a_binary_body_is_replayed_byte_by_byte(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/bytes").key(fresh_key());
    let first = call.clone().send().await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    assert_eq!(first.body, every_byte);
    let retry = call.send().await;
    retry.assert_replay_of(&first);
    assert_eq!(retry.header("content-type"), Some("image/x-all"));
    assert_eq!(retry.header("content-length"), Some("256"));
}

async fn exe_10_an_empty_request_is_replayed(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/echo").key(fresh_key());
    let first = call.clone().send().await;
    first.assert_executed(201);
    assert!(first.body.is_empty());
    call.send().await.assert_replay_of(&first);
}

async fn exe_11_every_content_type_is_replayed(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let bodies = [
        ("application/json", r#"{"amount":1}"#),
        ("text/plain; charset=utf-8", "zwölf"),
        ("application/x-www-form-urlencoded", "amount=1&note=a+b"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n",
        ),
    ];
    for (content_type, body) in bodies {
        let call = fixture.post("/echo").key(fresh_key());
        let call = call.content_type(content_type).body(body);
        let first = call.clone().send().await;
        assert_eq!(first.text(), body);
        let retry = call.send().await;
        retry.assert_replay_of(&first);
        assert_eq!(retry.header("content-type"), Some(content_type));
    }
    assert_eq!(fixture.count("/echo").await, bodies.len() as u64);
}

async fn exe_12_an_effect_happens_once(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/tx").key(fresh_key());
    for _ in 0..3 {
        assert_eq!(call.clone().send().await.status, 201);
    }
    assert_eq!(fixture.effects().await.len(), 1);
}

/// Each client sends until it has the answer, through whichever process.
async fn exe_12_an_effect_happens_once_however_many_clients_insist(kind: StoreKind) {
    let a = Fixture::start(kind, &[]).await;
    let b = a.second(&[]).await;
    let key = fresh_key();
    let mut clients = JoinSet::new();
    for number in 0..30 {
        let calls = [&a, &b].map(|fixture| fixture.post("/tx").key(&key));
        clients.spawn(async move {
            for sent in number.. {
                let reply = calls[sent % 2].clone().send().await;
                if reply.status != 409 {
                    return reply.status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            0
        });
    }
    let statuses = clients.join_all().await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    assert_eq!(a.effects().await.len(), 1);
}

async fn exe_13_the_handler_sees_the_key_without_its_quotes(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let seen = fixture.post("/inspect").key("\"k\"").send().await.json();
    assert_eq!(seen["key"], "k");
    assert_eq!(seen["attempt"], 1);
    assert_eq!(seen["takeover"], false);
    let seen = fixture.post("/inspect").send().await.json();
    assert_eq!(seen["key"], json!(null), "no key was claimed");
}

async fn exe_14_a_replay_is_kept_and_not_made_again(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let other = fixture.post("/uuid").key(fresh_key()).send().await;
    let call = fixture.post("/uuid").key(fresh_key());
    let first = call.clone().send().await;
    assert_ne!(first.body, other.body, "the handler's answers differ");
    call.send().await.assert_replay_of(&first);
}

async fn exe_15_the_handler_gets_the_request_unchanged(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let body: Vec<u8> = (0..=250).cycle().take(900 * 1024).collect();
    let digest: String = Sha256::digest(&body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let call = fixture.post("/inspect").header("x-acme", "1").body(body);
    let unkeyed = call.clone().send().await.json();
    let keyed = call.key(fresh_key()).send().await.json();
    assert_eq!(keyed["sha256"], digest);
    let has = |header: serde_json::Value| {
        let headers = keyed["headers"].as_array().expect("headers are listed");
        headers.contains(&header)
    };
    assert!(has(json!(["content-length", "921600"])));
    for header in unkeyed["headers"].as_array().expect("headers are listed") {
        // Each request has a connection of its own, but the server is the same.
        assert!(has(header.clone()), "{header} is missing");
    }
}

/// The same bytes come with a length, in chunks, and over HTTP/2.
async fn exe_15_how_a_request_is_framed_does_not_matter(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let connection = fixture.h2().await;
    let key = fresh_key();
    let first = fixture
        .post("/uuid?a=1")
        .key(&key)
        .body("amount=1")
        .send()
        .await;
    first.assert_executed(201);
    let chunked = fixture
        .post("/uuid?a=1")
        .key(&key)
        .chunked(["amo", "unt", "=1"]);
    chunked.send().await.assert_replay_of(&first);
    let stream = connection.post("/uuid?a=1").key(&key).body("amount=1");
    stream.send().await.assert_replay_of(&first);
    let stream = connection
        .post("/uuid?a=1")
        .key(&key)
        .chunked(["amount", "=1"]);
    stream.send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/uuid").await, 1);
}

async fn exe_17_repeated_headers_keep_their_order(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let list = json!([
        ["Link", "<b>; rel=next"],
        ["X-Acme", "1"],
        ["Link", "<a>; rel=prev"]
    ]);
    let call = fixture.post("/headers").key(fresh_key()).json(&list);
    let first = call.clone().send().await;
    let retry = call.send().await;
    for reply in [&first, &retry] {
        assert_eq!(
            reply.header_lines("link"),
            ["<b>; rel=next", "<a>; rel=prev"]
        );
    }
    retry.assert_replay_of(&first);
}

async fn exe_18_a_retry_through_another_process_is_replayed(kind: StoreKind) {
    let a = Fixture::start(kind, &[]).await;
    let b = a.second(&[]).await;
    let key = fresh_key();
    let first = a.post("/uuid").key(&key).send().await;
    let retry = b.post("/uuid").key(&key).send().await;
    retry.assert_replay_of(&first);
    assert_eq!((a.count("/uuid").await, b.count("/uuid").await), (1, 0));
}

async fn exe_19_a_retry_after_a_restart_is_replayed(kind: StoreKind) {
    let before = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    let first = before.post("/uuid").key(&key).send().await;
    before.terminate();
    assert!(before.wait_exit().await.success());
    let after = before.second(&[]).await;
    after
        .post("/uuid")
        .key(&key)
        .send()
        .await
        .assert_replay_of(&first);
    assert_eq!(after.count("/uuid").await, 0);
}

async fn exe_19_a_retry_after_a_crash_is_replayed(kind: StoreKind) {
    let before = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    let first = before.post("/uuid").key(&key).send().await;
    before.kill9();
    let after = before.second(&[]).await;
    after
        .post("/uuid")
        .key(&key)
        .send()
        .await
        .assert_replay_of(&first);
    assert_eq!(after.count("/uuid").await, 0);
}

//! Which answers are kept (STO).

use blackbox::{Call, Fixture, Reply, StoreKind, eventually, fresh_key, raw, scenarios};
use http::Method;
use serde_json::json;
use sqlx::Executor;

scenarios! {
    [memory, sqlite, postgres]
    sto_01_success_is_kept,
    sto_01_a_replay_without_content_promises_none,
    sto_02_redirects_are_kept,
    sto_03_refusals_of_the_handler_are_kept,
    sto_04_what_says_nothing_about_the_result_is_not_kept,
    sto_05_server_errors_are_not_kept,
    sto_05_a_failure_is_recorded_for_inspection,
    sto_06_everything_is_kept_where_that_was_chosen,
    sto_06_a_panic_is_kept_where_everything_is,
    sto_06_a_body_that_breaks_off_is_never_run_again_where_everything_is_kept,
    sto_07_after_a_panic_the_next_request_runs,
    sto_07_a_body_that_breaks_off_is_not_kept,
    sto_08_a_handler_can_refuse_to_be_kept,
    sto_08_an_answer_that_is_not_final_gives_the_key_up,
    sto_08_whoever_waits_for_an_answer_that_is_not_final_runs_next,
    sto_08_a_handler_can_keep_its_body_secret,
    sto_09_a_handler_can_choose_how_long_it_is_kept,
    sto_10_a_corrected_request_runs_where_only_success_is_kept,
    sto_13_answers_of_the_layer_are_never_kept,
    sto_14_a_failed_transaction_leaves_nothing_and_the_retry_one_row;

    [postgres]
    sto_08_whoever_waits_in_another_process_runs_next,
    sto_13_a_503_of_the_layer_is_never_kept;
}

/// Sends twice and returns both answers.
async fn twice(call: &Call) -> (Reply, Reply) {
    (call.clone().send().await, call.clone().send().await)
}

async fn is_kept(fixture: &Fixture, path: &str, status: u16) {
    let call = fixture.post(path).key(fresh_key());
    let before = fixture.runs().await;
    let (first, retry) = twice(&call).await;
    first.assert_executed(status);
    assert!(first.is_stored(), "{status}");
    retry.assert_replay_of(&first);
    assert_eq!(fixture.runs().await, before + 1, "{status}");
}

async fn is_not_kept(fixture: &Fixture, path: &str, status: u16) {
    let call = fixture.post(path).key(fresh_key());
    let (first, retry) = twice(&call).await;
    first.assert_executed(status);
    assert!(!first.is_stored(), "{status}");
    retry.assert_executed(201);
    assert!(retry.is_stored(), "{status}");
    call.send().await.assert_replay_of(&retry);
    assert_eq!(
        fixture.count(path.split('?').next().expect("a path")).await,
        2,
        "{status}"
    );
}

async fn sto_01_success_is_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for status in [200, 201, 202, 203, 204, 205, 206, 299] {
        is_kept(&fixture, &format!("/status/{status}"), status).await;
    }
}

/// Behind a status without content the next answer begins at once; a byte too many, or a length,
/// would shift every answer behind it.
async fn sto_01_a_replay_without_content_promises_none(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for status in [204, 304] {
        let request = format!(
            "POST /status/{status} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\
             Idempotency-Key: k-{status}\r\nContent-Length: 0\r\n\r\n"
        );
        let mut connection = raw::Connection::open(fixture.addr()).await;
        for is_replay in [false, true, true] {
            connection.send(request.as_bytes()).await;
            let answer = connection.read_answer().await.expect("there is an answer");
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("x-idempotency-replay").is_some(), is_replay);
            assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
            let length = answer.header("content-length");
            assert!(length.is_none_or(|length| length == b"0"), "{answer:?}");
        }
    }
}

async fn sto_02_redirects_are_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for status in [301, 302, 303, 307, 308] {
        let call = fixture
            .post(&format!("/redirect/{status}"))
            .key(fresh_key());
        let (first, retry) = twice(&call).await;
        first.assert_executed(status);
        assert_eq!(retry.header("location"), Some("/echo"));
        retry.assert_replay_of(&first);
    }
    is_kept(&fixture, "/status/304", 304).await;
}

async fn sto_03_refusals_of_the_handler_are_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for status in [
        400, 402, 403, 404, 406, 409, 410, 412, 413, 415, 418, 422, 451,
    ] {
        is_kept(&fixture, &format!("/status/{status}"), status).await;
    }
}

async fn sto_04_what_says_nothing_about_the_result_is_not_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for status in [401, 405, 407, 408, 423, 425, 429] {
        is_not_kept(&fixture, &format!("/status/{status}?once=1"), status).await;
    }
    // The router's own 405 is not kept either.
    let call = fixture.patch("/uuid").key(fresh_key());
    let (first, retry) = twice(&call).await;
    assert_eq!((first.status, retry.status), (405, 405));
    assert!(!first.is_stored() && !retry.is_replay());
}

async fn sto_05_server_errors_are_not_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for status in [500, 501, 502, 503, 504, 507, 599] {
        is_not_kept(&fixture, &format!("/status/{status}?once=1"), status).await;
    }
}

async fn sto_05_a_failure_is_recorded_for_inspection(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/status/503?once=1").key(fresh_key());
    call.clone().send().await.assert_executed(503);
    let rows = fixture.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["state"], "failed");
    assert_eq!(rows[0]["attempt"], 1);
    assert_eq!(rows[0]["failure"]["category"], "transient");
    assert_eq!(rows[0]["failure"]["error"], "status 503");
    // The retry of a failed key may be another request; it is the key's second execution.
    call.body("corrected").send().await.assert_executed(201);
    let rows = fixture.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["state"], "completed");
    assert_eq!(rows[0]["attempt"], 2);
    assert_eq!(rows[0]["failure"], json!(null));
}

async fn sto_06_everything_is_kept_where_that_was_chosen(kind: StoreKind) {
    let flags = ["--stored", "everything", "--crash-policy", "hold"];
    let fixture = Fixture::start(kind, &flags).await;
    for status in [201, 303, 401, 405, 408, 422, 429, 500, 501, 502, 503, 504] {
        is_kept(&fixture, &format!("/status/{status}?once=1"), status).await;
    }
}

async fn sto_06_a_panic_is_kept_where_everything_is(kind: StoreKind) {
    let flags = ["--stored", "everything", "--crash-policy", "hold"];
    let fixture = Fixture::start(kind, &flags).await;
    let call = fixture.post("/panic?once=1").key(fresh_key());
    let (first, retry) = twice(&call).await;
    assert_eq!(
        (first.status, first.code().as_str()),
        (500, "HANDLER_PANICKED")
    );
    assert!(first.is_stored());
    assert_eq!((retry.status, retry.is_replay()), (500, true));
    assert_eq!(retry.body, first.body);
    assert_eq!(fixture.count("/panic").await, 1);
}

async fn sto_06_a_body_that_breaks_off_is_never_run_again_where_everything_is_kept(
    kind: StoreKind,
) {
    let flags = ["--stored", "everything", "--crash-policy", "hold"];
    let fixture = Fixture::start(kind, &flags).await;
    let call = fixture.post("/abort-body?after=100").key(fresh_key());
    let first = call.clone().try_send().await;
    assert!(first.is_err() || first.is_ok_and(|first| first.broken));
    let retry = call.send().await;
    assert_eq!(retry.header("x-idempotency-replay"), Some("omitted"));
    assert_eq!((retry.status, retry.body.len()), (201, 0));
    assert_eq!(fixture.count("/abort-body").await, 1);
}

async fn sto_07_after_a_panic_the_next_request_runs(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/panic?once=1").key(fresh_key());
    let first = call.clone().send().await;
    first.assert_problem(500, "HANDLER_PANICKED");
    assert!(!first.text().contains("asked to panic"), "{}", first.text());
    assert_eq!(fixture.rows().await[0]["state"], "failed");
    let second = call.clone().send().await;
    second.assert_executed(201);
    call.send().await.assert_replay_of(&second);
    assert_eq!(fixture.count("/panic").await, 2);
}

async fn sto_07_a_body_that_breaks_off_is_not_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture
        .post("/abort-body?after=100&once=1")
        .key(fresh_key());
    let first = call.clone().try_send().await;
    assert!(first.is_err() || first.is_ok_and(|first| first.broken));
    let second = call.clone().send().await;
    second.assert_executed(201);
    assert_eq!(second.text(), "whole");
    call.send().await.assert_replay_of(&second);
}

async fn sto_08_a_handler_can_refuse_to_be_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture
        .post("/status/200?wish=do_not_store")
        .key(fresh_key());
    for run in 1..=3 {
        let reply = call.clone().send().await;
        reply.assert_executed(200);
        assert!(!reply.is_stored());
        assert_eq!(reply.json()["run"], run);
    }
    assert!(fixture.rows().await.is_empty(), "nothing is left behind");
}

async fn sto_08_an_answer_that_is_not_final_gives_the_key_up(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    let question = fixture.post("/confirm").key(&key).send().await;
    question.assert_executed(402);
    assert!(!question.is_stored());
    let call = fixture.post("/confirm?confirm=1").key(&key);
    let (first, retry) = twice(&call).await;
    first.assert_executed(201);
    retry.assert_replay_of(&first);
    assert_eq!(fixture.count("/confirm").await, 2);
}

async fn sto_08_whoever_waits_for_an_answer_that_is_not_final_runs_next(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--wait-ms", "20000"]).await;
    ask_both(&fixture, &fixture).await;
    assert_eq!(fixture.count("/gate/g").await, 3);
}

async fn sto_08_whoever_waits_in_another_process_runs_next(kind: StoreKind) {
    let a = Fixture::start(kind, &[]).await;
    let b = a.second(&["--wait-ms", "20000", "--poll-ms", "50"]).await;
    b.release("g").await;
    ask_both(&a, &b).await;
    assert_eq!(a.count("/gate/g").await, 1);
    assert_eq!(b.count("/gate/g").await, 2);
}

/// Sends a request whose answer is not final twice, the second while the first runs, and then the
/// one that is.
async fn ask_both(first: &Fixture, second: &Fixture) {
    let key = fresh_key();
    let path = "/gate/g?wish=not_final";
    let running = tokio::spawn(first.post(path).key(&key).send());
    first.at_gate("g", 1).await;
    let waiting = tokio::spawn(second.post(path).key(&key).send());
    first.release("g").await;
    for reply in [running.await, waiting.await] {
        let reply = reply.expect("it is answered");
        reply.assert_executed(201);
        assert!(!reply.is_stored());
    }
    let call = second.post("/gate/g").key(&key);
    let (last, retry) = twice(&call).await;
    assert!(last.is_stored());
    retry.assert_replay_of(&last);
}

async fn sto_08_a_handler_can_keep_its_body_secret(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/uuid?wish=omit_body").key(fresh_key());
    let (first, retry) = twice(&call).await;
    first.assert_executed(201);
    assert!(first.is_stored() && !first.body.is_empty());
    assert_eq!(retry.header("x-idempotency-replay"), Some("omitted"));
    assert_eq!((retry.status, retry.body.len()), (201, 0));
    let rows = fixture.rows().await;
    assert_eq!(rows[0]["tombstone"], true);
    assert_eq!(fixture.count("/uuid").await, 1);
}

async fn sto_09_a_handler_can_choose_how_long_it_is_kept(kind: StoreKind) {
    // The layer's own retention is shorter than one wish and longer than the other.
    let fixture = Fixture::start(kind, &["--retention-ms", "400"]).await;
    let long = fixture.post("/uuid?retention_ms=600000").key(fresh_key());
    let first_long = long.clone().send().await;
    let usual = fixture.post("/uuid").key(fresh_key());
    let first_usual = usual.clone().send().await;
    eventually(|| async { usual.clone().send().await.body != first_usual.body }).await;
    long.send().await.assert_replay_of(&first_long);

    let fixture = Fixture::start(kind, &[]).await;
    let short = fixture.post("/uuid?retention_ms=200").key(fresh_key());
    let first_short = short.clone().send().await;
    let usual = fixture.post("/uuid").key(fresh_key());
    let first_usual = usual.clone().send().await;
    eventually(|| async { short.clone().send().await.body != first_short.body }).await;
    usual.send().await.assert_replay_of(&first_usual);
}

async fn sto_10_a_corrected_request_runs_where_only_success_is_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--stored", "success-only"]).await;
    let call = fixture.post("/status/400?once=1").key(fresh_key());
    let refused = call.clone().body("amount=-1").send().await;
    refused.assert_executed(400);
    assert!(!refused.is_stored());
    let corrected = call.clone().body("amount=1");
    let (first, retry) = twice(&corrected).await;
    first.assert_executed(201);
    retry.assert_replay_of(&first);
    call.body("amount=-1")
        .send()
        .await
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
}

/// Neither 400, 403, 413 nor 422 and 409 leave or change a record. For 503 see FAIL-01.
async fn sto_13_answers_of_the_layer_are_never_kept(kind: StoreKind) {
    let flags = ["--max-body", "10", "--stored", "everything"];
    let fixture = Fixture::start(kind, &flags).await;
    let key = fresh_key();
    let call = fixture.post("/gate/g").key(&key);
    let broken = fixture.post("/gate/g").key("a b").send().await;
    broken.assert_problem(400, "IDEMPOTENCY_KEY_INVALID");
    let long = call.clone().body("more than ten bytes").send().await;
    long.assert_problem(413, "REQUEST_TOO_LARGE");
    let nobody = call.clone().anonymous().send().await;
    nobody.assert_problem(403, "IDEMPOTENCY_SCOPE_MISSING");
    assert!(fixture.rows().await.is_empty());

    let running = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    call.clone()
        .send()
        .await
        .assert_problem(409, "REQUEST_IN_PROGRESS");
    call.clone()
        .body("other")
        .send()
        .await
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    fixture.release("g").await;
    let first = running.await.expect("the first request is answered");
    first.assert_executed(201);
    call.clone()
        .body("other")
        .send()
        .await
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    call.send().await.assert_replay_of(&first);
    let uncovered = fixture
        .request(Method::PUT, "/gate/g")
        .key(&key)
        .send()
        .await;
    uncovered.assert_executed(201);
    assert_eq!(fixture.rows().await.len(), 1);
}

/// The table is away for a moment, so that the store fails and then works again.
async fn sto_13_a_503_of_the_layer_is_never_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--stored", "everything"]).await;
    let mut postgres = fixture.database().postgres().await;
    let call = fixture.post("/uuid").key(fresh_key());
    let away = postgres
        .execute("ALTER TABLE idempotency_keys RENAME TO away")
        .await;
    away.expect("the table can be renamed");
    let refused = call.clone().send().await;
    refused.assert_problem(503, "IDEMPOTENCY_STORE_UNAVAILABLE");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(fixture.count("/uuid").await, 0);
    let back = postgres
        .execute("ALTER TABLE away RENAME TO idempotency_keys")
        .await;
    back.expect("the table can be renamed");
    let (first, retry) = twice(&call).await;
    first.assert_executed(201);
    retry.assert_replay_of(&first);
    assert_eq!(fixture.count("/uuid").await, 1);
}

/// In a transaction of the handler's own; the layer's transactional mode has more to say.
async fn sto_14_a_failed_transaction_leaves_nothing_and_the_retry_one_row(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/tx?fail=1&once=1").key(fresh_key());
    call.clone().send().await.assert_executed(500);
    assert!(fixture.effects().await.is_empty());
    let second = call.clone().send().await;
    second.assert_executed(201);
    call.send().await.assert_replay_of(&second);
    assert_eq!(fixture.effects().await.len(), 1);
}

//! STO: which answers are kept.

use blackbox::{Fixture, StoreKind, eventually, scenarios};
use serde_json::json;

scenarios! {
    [memory, sqlite, postgres]
        sto_01_results_and_redirects_and_refusals_are_kept,
        sto_04_answers_that_are_no_result_are_not_kept,
        sto_05_server_errors_run_again,
        sto_06_everything_is_kept_if_asked_for,
        sto_07_a_panic_is_answered_and_runs_again,
        sto_08_a_handler_can_give_its_key_up,
        sto_09_a_handler_can_choose_the_retention,
        sto_10_only_success_is_kept_if_asked_for,
        sto_13_our_own_answers_are_never_kept,
        a_failure_can_be_inspected,
        an_answer_that_is_not_final_frees_the_key,
        a_secret_body_is_not_kept
}

async fn sto_01_results_and_redirects_and_refusals_are_kept(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for code in [200, 201, 202, 204, 299, 303, 400, 404, 409, 410, 422] {
        let path = format!("/status/{code}");
        let key = format!("k-{code}");
        let first = fixture.post(&path).key(&key).send().await;
        assert_eq!(first.status, code);
        assert!(first.is_stored(), "{code}");
        let retry = fixture.post(&path).key(&key).send().await;
        retry.assert_replay_of(&first);
    }
    let first = fixture.post("/redirect/303").key("k").send().await;
    let retry = fixture.post("/redirect/303").key("k").send().await;
    retry.assert_replay_of(&first);
    assert_eq!(retry.header("location"), Some("/echo"));
}

async fn sto_04_answers_that_are_no_result_are_not_kept(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for code in [401, 405, 407, 408, 423, 425, 429] {
        let request = fixture.post(&format!("/status/{code}?once=1"));
        let request = request.key(format!("k-{code}"));
        let first = request.clone().send().await;
        assert_eq!(first.status, code);
        assert!(!first.is_stored(), "{code}");
        assert_eq!(request.send().await.status, 201, "{code}");
    }
}

async fn sto_05_server_errors_run_again(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for code in [500, 502, 503, 504] {
        let request = fixture.post(&format!("/status/{code}?once=1"));
        let request = request.key(format!("k-{code}"));
        assert_eq!(request.clone().send().await.status, code);
        let second = request.clone().send().await;
        assert_eq!(second.status, 201);
        request.send().await.assert_replay_of(&second);
    }
}

async fn sto_06_everything_is_kept_if_asked_for(store: StoreKind) {
    let arguments = ["--stored", "everything", "--crash-policy", "hold"];
    let fixture = Fixture::start(store, &arguments).await;
    let first = fixture.post("/status/500").key("k").send().await;
    assert_eq!(first.status, 500);
    fixture
        .post("/status/500")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
    let first = fixture.post("/panic").key("k").send().await;
    assert_eq!(first.status, 500);
    fixture
        .post("/panic")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
    assert_eq!(fixture.count("/panic").await, 1);
}

async fn sto_07_a_panic_is_answered_and_runs_again(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for run in 1..=2 {
        let reply = fixture.post("/panic").key("k").send().await;
        reply.assert_problem(500, "HANDLER_PANICKED");
        assert!(
            !reply.text().contains("on purpose"),
            "a panic's message is not for clients"
        );
        assert_eq!(fixture.count("/panic").await, run);
    }
}

async fn sto_08_a_handler_can_give_its_key_up(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for run in 1..=2 {
        let reply = fixture
            .post("/echo?wish=do_not_store")
            .key("k")
            .send()
            .await;
        assert_eq!(fixture.count("/echo").await, run);
        assert!(!reply.is_stored());
    }
    assert!(fixture.rows().await.is_empty());
}

async fn sto_09_a_handler_can_choose_the_retention(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let long = fixture.post("/uuid?retention_ms=60000").key("long");
    let short = fixture.post("/uuid?retention_ms=300").key("short");
    let first_long = long.clone().send().await;
    let first_short = short.clone().send().await;
    eventually(|| async { short.clone().send().await.body != first_short.body }).await;
    long.send().await.assert_replay_of(&first_long);
}

async fn sto_10_only_success_is_kept_if_asked_for(store: StoreKind) {
    let fixture = Fixture::start(store, &["--stored", "success-only"]).await;
    let request = fixture.post("/status/400?once=1").key("k");
    assert_eq!(request.clone().body("wrong").send().await.status, 400);
    let corrected = request.clone().body("right").send().await;
    assert_eq!(corrected.status, 201);
    request
        .body("right")
        .send()
        .await
        .assert_replay_of(&corrected);
}

/// A 409 and a 422 of ours leave the record of the first request as it is.
async fn sto_13_our_own_answers_are_never_kept(store: StoreKind) {
    let fixture = Fixture::start(store, &["--max-body", "10"]).await;
    let long = "x".repeat(11);
    let refusals = [
        fixture.post("/echo").key("").send().await,
        fixture.post("/echo").key("k").body(long).send().await,
        fixture.post("/echo").key("k").anonymous().send().await,
    ];
    assert_eq!(refusals.map(|reply| reply.status), [400, 413, 403]);
    assert!(fixture.rows().await.is_empty());
    let first = fixture.post("/echo").key("k").body("a").send().await;
    assert!(first.is_stored());
    assert_eq!(
        fixture.post("/echo").key("k").body("b").send().await.status,
        422
    );
    fixture
        .post("/echo")
        .key("k")
        .body("a")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn a_failure_can_be_inspected(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let _ = fixture.post("/status/503").key("k").send().await;
    let rows = fixture.rows().await;
    assert_eq!(rows[0]["state"], "failed");
    assert!(rows[0].to_string().contains("status 503"), "{rows:?}");
    let _ = fixture.post("/status/503").key("k").send().await;
    assert_eq!(fixture.rows().await[0]["attempt"], 2);
}

async fn an_answer_that_is_not_final_frees_the_key(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    assert_eq!(fixture.post("/confirm").key("k").send().await.status, 402);
    let first = fixture.post("/confirm?confirm=1").key("k").send().await;
    assert_eq!(first.status, 201);
    let retry = fixture.post("/confirm?confirm=1").key("k").send().await;
    retry.assert_replay_of(&first);
    assert_eq!(fixture.count("/confirm").await, 2);
}

async fn a_secret_body_is_not_kept(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = fixture.post("/echo?wish=omit_body").key("k").body("s3cret");
    assert_eq!(request.clone().send().await.text(), "s3cret");
    let retry = request.send().await;
    assert_eq!((retry.status, retry.text().as_str()), (201, ""));
    assert_eq!(retry.header("x-idempotency-replay"), Some("omitted"));
    assert_eq!(fixture.count("/echo").await, 1);
    assert_eq!(fixture.rows().await[0]["state"], json!("completed"));
}

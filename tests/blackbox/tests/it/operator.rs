//! OPS: keys that have had all their attempts, or are held, and what an operator makes of them.

use blackbox::{Fixture, StoreKind, eventually, scenarios};
use serde_json::json;

scenarios! {
    [memory, sqlite, postgres]
        failures_use_up_the_attempts,
        a_key_that_was_freed_runs_again,
        a_running_or_completed_key_is_not_resolved;

    [sqlite, postgres]
        crashes_use_up_the_attempts,
        a_held_key_is_answered,
        a_held_key_is_freed,
        an_owner_that_comes_back_cannot_overrule_the_operator
}

async fn failures_use_up_the_attempts(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--max-attempts", "3"]).await;
    let call = fixture.post("/status/503").key("k");
    for attempt in 1..=3 {
        call.clone().send().await.assert_executed(503);
        assert_eq!(fixture.rows().await[0]["attempt"], attempt);
    }
    for _ in 0..2 {
        call.clone()
            .send()
            .await
            .assert_problem(409, "ATTEMPTS_EXHAUSTED");
    }
    assert_eq!(fixture.count("/status/503").await, 3);
    let row = &fixture.rows().await[0];
    assert_eq!(
        (&row["state"], &row["attempt"]),
        (&json!("failed"), &json!(3))
    );
    // Other keys have attempts of their own.
    fixture
        .post("/status/503")
        .key("other")
        .send()
        .await
        .assert_executed(503);

    assert_eq!(fixture.resolve(row, Some(202)).await, "Applied");
    let answer = call.clone().send().await;
    assert_eq!((answer.status, answer.is_replay()), (202, true));
    assert_eq!(answer.text(), "resolved");
    call.send().await.assert_replay_of(&answer);
    assert_eq!(fixture.count("/status/503").await, 4);
}

async fn a_key_that_was_freed_runs_again(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--max-attempts", "1"]).await;
    let call = fixture.post("/status/500?once=1").key("k");
    call.clone().send().await.assert_executed(500);
    call.clone()
        .send()
        .await
        .assert_problem(409, "ATTEMPTS_EXHAUSTED");
    let row = fixture.rows().await.remove(0);
    assert_eq!(fixture.resolve(&row, None).await, "Applied");
    assert!(call.clone().send().await.is_stored());
    assert!(call.send().await.is_replay());
    assert_eq!(fixture.rows().await[0]["attempt"], 1);
}

async fn a_running_or_completed_key_is_not_resolved(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--crash-policy", "hold"]).await;
    let call = fixture.post("/gate/g").key("k");
    let running = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let row = fixture.rows().await.remove(0);
    for answer in [None, Some(200)] {
        let refused = fixture.resolve(&row, answer).await;
        assert!(refused.starts_with("Running"), "{refused}");
    }
    fixture.release("g").await;
    let first = running.await.unwrap();
    assert!(first.is_stored());
    for answer in [None, Some(200)] {
        assert_eq!(fixture.resolve(&row, answer).await, "Completed");
    }
    call.send().await.assert_replay_of(&first);
}

/// A server dies in the middle of a handler; returns another one with the same flags.
async fn crash(kind: StoreKind, flags: &[&str]) -> Fixture {
    let flags = [&["--lease-ms", "500"], flags].concat();
    let a = Fixture::start(kind, &flags).await;
    let b = a.second(&flags).await;
    let running = tokio::spawn(a.post("/gate/g").key("k").try_send());
    a.at_gate("g", 1).await;
    a.kill9();
    assert!(running.await.unwrap().is_err());
    b.release("g").await;
    let retry = b.post("/gate/g").key("k");
    eventually(|| async { retry.clone().send().await.code() == "OUTCOME_UNKNOWN" }).await;
    b
}

async fn crashes_use_up_the_attempts(kind: StoreKind) {
    let fixture = crash(kind, &["--max-attempts", "1"]).await;
    let call = fixture.post("/gate/g").key("k");
    call.clone()
        .send()
        .await
        .assert_problem(409, "OUTCOME_UNKNOWN");
    assert_eq!(fixture.count("/gate/g").await, 0);
    assert_eq!(
        fixture.resolve(&fixture.rows().await[0], Some(201)).await,
        "Applied"
    );
    let answer = call.send().await;
    assert_eq!((answer.status, answer.is_replay()), (201, true));
}

async fn a_held_key_is_answered(kind: StoreKind) {
    let fixture = crash(kind, &["--crash-policy", "hold"]).await;
    assert_eq!(
        fixture.resolve(&fixture.rows().await[0], Some(410)).await,
        "Applied"
    );
    let answer = fixture.post("/gate/g").key("k").send().await;
    assert_eq!((answer.status, answer.is_replay()), (410, true));
    assert_eq!(fixture.count("/gate/g").await, 0);
}

async fn a_held_key_is_freed(kind: StoreKind) {
    let fixture = crash(kind, &["--crash-policy", "hold"]).await;
    assert_eq!(
        fixture.resolve(&fixture.rows().await[0], None).await,
        "Applied"
    );
    let call = fixture.post("/gate/g").key("k");
    assert!(call.clone().send().await.is_stored());
    assert!(call.send().await.is_replay());
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn an_owner_that_comes_back_cannot_overrule_the_operator(kind: StoreKind) {
    let flags = ["--lease-ms", "500", "--crash-policy", "hold"];
    let a = Fixture::start(kind, &flags).await;
    let b = a.second(&flags).await;
    let stalled = tokio::spawn(a.post("/gate/g").key("k").send());
    a.at_gate("g", 1).await;
    a.pause();
    let retry = b.post("/gate/g").key("k");
    eventually(|| async { retry.clone().send().await.code() == "OUTCOME_UNKNOWN" }).await;
    assert_eq!(b.resolve(&b.rows().await[0], Some(200)).await, "Applied");
    a.resume();
    a.release("g").await;
    let late = stalled.await.unwrap();
    assert_eq!((late.status, late.is_replay()), (200, true));
    assert_eq!(late.text(), "resolved");
    retry.send().await.assert_replay_of(&late);
}

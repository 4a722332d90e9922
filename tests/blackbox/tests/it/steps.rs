//! STP: steps whose results outlive the attempt that took them.

use blackbox::{Fixture, StoreKind, eventually, scenarios};
use serde_json::Value;

scenarios! {
    pooled;
    [memory, sqlite, postgres]
        a_step_is_not_taken_again_after_a_failure,
        a_step_that_failed_is_taken_again,
        a_different_request_takes_its_own_steps;

    [sqlite, postgres]
        a_step_is_not_taken_again_after_a_crash,
        a_stale_worker_is_told_at_its_next_step
}

/// How often rows were written whose note begins so.
async fn times(fixture: &Fixture, note: &str) -> usize {
    let effects = fixture.effects().await;
    effects
        .iter()
        .filter(|effect| effect.starts_with(note))
        .count()
}

/// The keys for other services that each attempt has derived.
async fn derived(fixture: &Fixture) -> Vec<String> {
    let mut effects = fixture.effects().await;
    effects.retain(|effect| effect.starts_with("attempt with "));
    effects
}

async fn a_step_is_not_taken_again_after_a_failure(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/steps?status=503&once=1").key("k");
    let failed = call.clone().send().await;
    assert_eq!((failed.status, failed.is_stored()), (503, false));
    let first = call.clone().send().await;
    assert_eq!((first.status, first.is_stored()), (201, true));
    assert_eq!(
        first.json(),
        failed.json(),
        "the same results and derived keys"
    );
    call.send().await.assert_replay_of(&first);
    for (note, expected) in [("step-1", 1), ("step-2", 1), ("attempt", 2)] {
        assert_eq!(times(&fixture, note).await, expected, "{note}");
    }
    let keys = first.json()["derived"].clone();
    assert_ne!(keys[0], keys[1], "each label has its own key");

    // Another key is another operation.
    let other = fixture.post("/steps").key("other").send().await.json();
    assert_ne!(other["derived"], keys);
    assert_eq!(times(&fixture, "step-1").await, 2);
}

async fn a_step_that_failed_is_taken_again(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/steps?fail=1&once=1").key("k");
    assert_eq!(call.clone().send().await.status, 500);
    assert_eq!(
        (
            times(&fixture, "step-1").await,
            times(&fixture, "step-2").await
        ),
        (1, 0)
    );
    assert!(call.clone().send().await.is_stored());
    assert!(call.send().await.is_replay());
    assert_eq!(
        (
            times(&fixture, "step-1").await,
            times(&fixture, "step-2").await
        ),
        (1, 1)
    );
    let keys = derived(&fixture).await;
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

async fn a_different_request_takes_its_own_steps(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/steps?fail=1&once=1").key("k");
    assert_eq!(call.clone().body("amount=1").send().await.status, 500);
    assert!(call.body("amount=2").send().await.is_stored());
    assert_eq!(times(&fixture, "step-1").await, 2);
}

async fn a_step_is_not_taken_again_after_a_crash(kind: StoreKind) {
    let a = Fixture::start(kind, &["--lease-ms", "800"]).await;
    let b = a.second(&["--lease-ms", "800"]).await;
    let running = tokio::spawn(a.post("/steps?gate=g").key("k").try_send());
    a.at_gate("g", 1).await;
    a.kill9();
    assert!(running.await.unwrap().is_err());
    b.release("g").await;
    let call = b.post("/steps?gate=g").key("k");
    eventually(|| async { call.clone().send().await.status != 409 }).await;
    let replay = call.send().await;
    assert_eq!((replay.status, replay.is_replay()), (201, true));
    for (note, expected) in [("step-1", 1), ("step-2", 1), ("attempt", 2)] {
        assert_eq!(times(&b, note).await, expected, "{note}");
    }
    let keys = derived(&b).await;
    assert_eq!(keys[0], keys[1], "both attempts derived the same key");
    assert_eq!(b.rows().await[0]["attempt"], 2);
}

/// What it has done in that step is done; the key that it has derived says so to the other service.
async fn a_stale_worker_is_told_at_its_next_step(kind: StoreKind) {
    let a = Fixture::start(kind, &["--lease-ms", "600"]).await;
    let b = a.second(&["--lease-ms", "600"]).await;
    let stalled = tokio::spawn(a.post("/steps?gate=g").key("k").send());
    a.at_gate("g", 1).await;
    a.pause();
    b.release("g").await;
    let call = b.post("/steps?gate=g").key("k");
    eventually(|| async { call.clone().send().await.status != 409 }).await;
    let winner = call.send().await;
    assert_eq!((winner.status, winner.is_replay()), (201, true));
    let results: Vec<Value> = serde_json::from_value(winner.json()["steps"].clone()).unwrap();
    assert_eq!(results.len(), 2);
    a.resume();
    a.release("g").await;
    let late = stalled.await.unwrap();
    assert!(late.is_replay(), "{} {}", late.status, late.text());
    assert_eq!(late.json(), winner.json());
    eventually(|| async { a.logs().contains("kind=LeaseLost") }).await;
    assert_eq!(times(&b, "step-1").await, 1);
}

//! DIS: clients that go away, servers that die or stall.

use std::time::{Duration, Instant};

use blackbox::{Fixture, StoreKind, eventually, raw, scenarios};

scenarios! {
    pooled;
    [memory, sqlite, postgres]
        dis_01_a_client_that_leaves_does_not_stop_the_handler,
        dis_05_an_immediate_retry_waits_for_the_first,
        dis_08_a_server_that_is_asked_to_end_ends_its_executions,
        dis_09_a_handler_may_take_longer_than_its_lease,
        dis_12_a_timeout_inside_is_not_kept;
    [sqlite, postgres]
        dis_06_a_killed_servers_key_is_taken_over_after_its_lease,
        dis_06_a_killed_servers_key_is_held_if_asked_for,
        dis_07_an_answer_that_was_lost_is_replayed,
        dis_10_a_stalled_server_cannot_overrule_its_successor
}

async fn leave(fixture: &Fixture, gate: &str, key: &str, reset: bool) {
    let head = format!("Idempotency-Key: {key}\r\n");
    let request = raw::post(&format!("/gate/{gate}"), head.as_bytes(), b"");
    let mut connection = raw::Connection::open(fixture.addr()).await;
    connection.send(&request).await;
    fixture.at_gate(gate, 1).await;
    if reset {
        connection.reset();
    } else {
        connection.close();
    }
}

/// Also DIS-02: with FIN and with RST.
async fn dis_01_a_client_that_leaves_does_not_stop_the_handler(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for (gate, reset) in [("fin", false), ("rst", true)] {
        leave(&fixture, gate, gate, reset).await;
        fixture.release(gate).await;
        let request = fixture.post(&format!("/gate/{gate}")).key(gate);
        eventually(|| async { request.clone().send().await.is_replay() }).await;
        assert_eq!(fixture.count(&format!("/gate/{gate}")).await, 1);
    }
}

async fn dis_05_an_immediate_retry_waits_for_the_first(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    leave(&fixture, "g", "k", false).await;
    let retry = fixture.post("/gate/g").key("k");
    retry
        .clone()
        .send()
        .await
        .assert_problem(409, "REQUEST_IN_PROGRESS");
    fixture.release("g").await;
    eventually(|| async { retry.clone().send().await.is_replay() }).await;
    assert_eq!(fixture.count("/gate/g").await, 1);
}

/// Kills a server in the middle of a handler; returns another one on its database.
async fn kill_midway(store: StoreKind, lease_ms: &str, policy: &str) -> Fixture {
    let arguments = ["--lease-ms", lease_ms, "--crash-policy", policy];
    let a = Fixture::start(store, &arguments).await;
    let b = a.second(&arguments).await;
    let running = tokio::spawn(a.post("/gate/g").key("k").try_send());
    a.at_gate("g", 1).await;
    a.kill9();
    assert!(running.await.unwrap().is_err());
    b.release("g").await;
    b
}

async fn dis_06_a_killed_servers_key_is_taken_over_after_its_lease(store: StoreKind) {
    let b = kill_midway(store, "1000", "retry").await;
    let request = b.post("/gate/g").key("k");
    request
        .clone()
        .send()
        .await
        .assert_problem(409, "REQUEST_IN_PROGRESS");
    let begun = Instant::now();
    eventually(|| async { request.clone().send().await.is_stored() }).await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert!(request.send().await.is_replay());
    assert_eq!(b.count("/gate/g").await, 1);
    assert_eq!(b.rows().await[0]["attempt"], 2);
}

async fn dis_06_a_killed_servers_key_is_held_if_asked_for(store: StoreKind) {
    let b = kill_midway(store, "500", "hold").await;
    let request = b.post("/gate/g").key("k");
    request
        .clone()
        .send()
        .await
        .assert_problem(409, "REQUEST_IN_PROGRESS");
    eventually(|| async { request.clone().send().await.code() == "OUTCOME_UNKNOWN" }).await;
    request.send().await.assert_problem(409, "OUTCOME_UNKNOWN");
    assert_eq!(b.count("/gate/g").await, 0);
}

/// The response is kept, and the server dies before the client has it.
async fn dis_07_an_answer_that_was_lost_is_replayed(store: StoreKind) {
    let a = Fixture::start(store, &[]).await;
    let b = a.second(&[]).await;
    let request = a.post("/uuid").key("k").header("x-hold-response", "g");
    let lost = tokio::spawn(request.try_send());
    a.at_gate("g", 1).await;
    a.kill9();
    assert!(lost.await.unwrap().is_err());
    let retry = b.post("/uuid").key("k").send().await;
    assert!(retry.is_replay());
    assert_eq!(b.count("/uuid").await, 0);
}

async fn dis_08_a_server_that_is_asked_to_end_ends_its_executions(store: StoreKind) {
    let a = Fixture::start(store, &[]).await;
    leave(&a, "g", "k", false).await;
    // No new connection is accepted after this, so the gate opens before.
    let slow = raw::post("/slow?ms=500", b"Idempotency-Key: slow\r\n", b"");
    let mut connection = raw::Connection::open(a.addr()).await;
    connection.send(&slow).await;
    eventually(|| async { a.count("/slow").await == 1 }).await;
    a.release("g").await;
    connection.close();
    a.terminate();
    assert!(a.wait_exit().await.success());
    eventually(|| async { a.logs().contains("all executions have ended") }).await;
    if store != StoreKind::Memory {
        let b = a.second(&[]).await;
        assert!(b.post("/slow?ms=500").key("slow").send().await.is_replay());
        assert!(b.post("/gate/g").key("k").send().await.is_replay());
    }
}

async fn dis_09_a_handler_may_take_longer_than_its_lease(store: StoreKind) {
    // Long enough for a renewal on a machine that has much else to do.
    let fixture = Fixture::start(store, &["--lease-ms", "2000"]).await;
    let running = tokio::spawn(fixture.post("/gate/g").key("k").send());
    fixture.at_gate("g", 1).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(5_000) {
        let duplicate = fixture.post("/gate/g").key("k").send().await;
        duplicate.assert_problem(409, "REQUEST_IN_PROGRESS");
    }
    fixture.release("g").await;
    assert!(running.await.unwrap().is_stored());
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn dis_10_a_stalled_server_cannot_overrule_its_successor(store: StoreKind) {
    let a = Fixture::start(store, &["--lease-ms", "600"]).await;
    let b = a.second(&["--lease-ms", "600"]).await;
    let stalled = tokio::spawn(a.post("/gate/g?status=200").key("k").send());
    a.at_gate("g", 1).await;
    a.pause();
    b.release("g").await;
    let request = b.post("/gate/g?status=200").key("k");
    let mut winner = request.clone().send().await;
    while !winner.is_stored() {
        winner.assert_problem(409, "REQUEST_IN_PROGRESS");
        winner = request.clone().send().await;
    }
    a.resume();
    a.release("g").await;
    // The stalled one's client gets the winner's answer.
    stalled.await.unwrap().assert_replay_of(&winner);
    for fixture in [&a, &b] {
        let replay = fixture.post("/gate/g?status=200").key("k").send().await;
        replay.assert_replay_of(&winner);
    }
    let told = "another one had taken its key over";
    eventually(|| async { a.logs().contains(told) }).await;
}

async fn dis_12_a_timeout_inside_is_not_kept(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for run in 1..=2 {
        let reply = fixture.post("/timeout?ms=2000").key("k").send().await;
        assert_eq!((reply.status, reply.is_stored()), (408, false));
        assert_eq!(fixture.count("/timeout").await, run);
    }
}

//! FAIL: Postgres goes away, and comes back.

use std::time::{Duration, Instant};

use blackbox::{Fixture, Reply, StoreKind, eventually, scenarios};
use sqlx::{Connection, Executor};
use throwaway_postgres::{Mode, Server};

use crate::server::server;

scenarios! {
    [postgres]
        fail_01_a_stopped_store_refuses_keyed_requests_only,
        fail_02_an_open_layer_runs_unprotected,
        fail_03_a_response_that_is_due_is_stored_later,
        fail_03_a_killed_server_is_no_different,
        fail_03_neither_is_one_that_hangs,
        fail_07_a_hanging_server_is_given_up_within_the_bound,
        fail_07_a_locked_table_is_given_up_within_the_bound,
        fail_08_a_failed_release_frees_the_key_at_the_end_of_the_lease
}

const BOUND_MS: &str = "1000";

async fn fixture(server: &Server, arguments: &[&str]) -> Fixture {
    let mut all = vec!["--operation-timeout-ms", BOUND_MS];
    all.extend_from_slice(arguments);
    Fixture::start_on(&server.url(), &all).await
}

fn assert_unavailable(reply: &Reply) {
    reply.assert_problem(503, "IDEMPOTENCY_STORE_UNAVAILABLE");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1);
}

/// Also FAIL-11, HDR-12 and G9: what does not need the store does not notice.
async fn fail_01_a_stopped_store_refuses_keyed_requests_only(_: StoreKind) {
    let server = server().await;
    let fixture = fixture(&server, &[]).await;
    let first = fixture.post("/uuid").key("before").send().await;
    assert!(first.is_stored());
    server.stop(Mode::Fast).unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        assert_unavailable(&fixture.post("/echo").key("k").send().await);
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
    }
    assert_eq!(fixture.count("/echo").await, 0);
    fixture.post("/echo").send().await.assert_executed(201);
    assert_eq!(fixture.get("/counter").key("k").send().await.status, 200);
    let long = fixture
        .post("/echo")
        .key("k".repeat(500 * 1024))
        .send()
        .await;
    long.assert_problem(400, "IDEMPOTENCY_KEY_INVALID");

    server.start_again().unwrap();
    eventually(|| async { fixture.post("/echo").key("k").send().await.status == 201 }).await;
    fixture
        .post("/uuid")
        .key("before")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn fail_02_an_open_layer_runs_unprotected(_: StoreKind) {
    let server = server().await;
    let fixture = fixture(&server, &["--fail-open"]).await;
    assert!(fixture.post("/echo").key("before").send().await.is_stored());
    server.stop(Mode::Fast).unwrap();
    for run in 2..=3 {
        let reply = fixture.post("/echo").key("k").send().await;
        assert_eq!(reply.status, 201);
        assert_eq!(reply.header("x-idempotency-stored"), Some("false"));
        assert_eq!(fixture.count("/echo").await, run);
    }
}

/// Stops the store while a handler runs; whatever `stop` does, its response is kept in the end.
async fn store_later(stop: impl FnOnce(&Server), go_on: impl FnOnce(&Server)) {
    let server = server().await;
    let fixture = fixture(&server, &["--lease-ms", "30000"]).await;
    let running = tokio::spawn(fixture.post("/gate/g").key("k").send());
    fixture.at_gate("g", 1).await;
    stop(&server);
    fixture.release("g").await;
    let first = running.await.unwrap();
    assert_eq!((first.status, first.is_stored()), (201, false));
    assert_unavailable(&fixture.post("/gate/g").key("k").send().await);

    go_on(&server);
    let retry = fixture.post("/gate/g").key("k");
    eventually(|| async { retry.clone().send().await.is_replay() }).await;
    retry.send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn fail_03_a_response_that_is_due_is_stored_later(_: StoreKind) {
    let stop = |server: &Server| server.stop(Mode::Fast).unwrap();
    store_later(stop, |server| server.start_again().unwrap()).await;
}

async fn fail_03_a_killed_server_is_no_different(_: StoreKind) {
    let kill = |server: &Server| server.kill().unwrap();
    store_later(kill, |server| server.start_again().unwrap()).await;
}

async fn fail_03_neither_is_one_that_hangs(_: StoreKind) {
    let pause = |server: &Server| server.pause().unwrap();
    store_later(pause, |server| server.resume().unwrap()).await;
}

/// Nothing is refused and nothing is closed: only the bound ends the wait.
async fn fail_07_a_hanging_server_is_given_up_within_the_bound(_: StoreKind) {
    let server = server().await;
    let fixture = fixture(&server, &["--lease-ms", "3000"]).await;
    let first = fixture.post("/uuid").key("before").send().await;
    assert!(first.is_stored());
    server.pause().unwrap();
    let mut quickest = Duration::MAX;
    for (path, key) in [("/echo", "k-1"), ("/echo", "k-2"), ("/uuid", "before")] {
        let begun = Instant::now();
        assert_unavailable(&fixture.post(path).key(key).send().await);
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        let begun = Instant::now();
        fixture.post("/slow?ms=1").send().await.assert_executed(201);
        assert_eq!(fixture.get("/counter").key("k").send().await.status, 200);
        quickest = quickest.min(begun.elapsed());
    }
    // A machine that is busy may be late once.
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    assert_eq!(fixture.count("/echo").await, 0);

    server.resume().unwrap();
    // A claim that arrives late is nobody's, and its lease runs out.
    for key in ["k-1", "k-2"] {
        let retry = fixture.post("/echo").key(key);
        eventually(|| async { retry.clone().send().await.status == 201 }).await;
        assert!(retry.send().await.is_replay());
    }
    assert_eq!(fixture.count("/echo").await, 2);
    let retry = fixture.post("/uuid").key("before").send().await;
    retry.assert_replay_of(&first);
}

async fn fail_07_a_locked_table_is_given_up_within_the_bound(store: StoreKind) {
    let fixture = Fixture::start(store, &["--operation-timeout-ms", BOUND_MS]).await;
    let mut locker = fixture.database().postgres().await;
    let mut transaction = locker.begin().await.unwrap();
    let lock = "LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE";
    transaction.execute(lock).await.unwrap();
    let begun = Instant::now();
    assert_unavailable(&fixture.post("/echo").key("k").send().await);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    transaction.rollback().await.unwrap();
    assert!(fixture.post("/echo").key("k").send().await.is_stored());
}

async fn fail_08_a_failed_release_frees_the_key_at_the_end_of_the_lease(_: StoreKind) {
    let server = server().await;
    let fixture = fixture(&server, &["--lease-ms", "3000"]).await;
    let running = tokio::spawn(fixture.post("/gate/g?status=500&once=1").key("k").send());
    fixture.at_gate("g", 1).await;
    server.stop(Mode::Fast).unwrap();
    fixture.release("g").await;
    assert_eq!(running.await.unwrap().status, 500);
    server.start_again().unwrap();
    let retry = fixture.post("/gate/g?status=500&once=1").key("k");
    eventually(|| async { retry.clone().send().await.status == 201 }).await;
    assert_eq!(fixture.count("/gate/g").await, 2);
}

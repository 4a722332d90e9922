//! TX: commits whose answer never comes, and servers of Postgres that die meanwhile.

use std::time::Duration;

use blackbox::{Fixture, StoreKind, eventually, scenarios};
use fault_proxy::AfterSwallow;

use crate::{
    server::{behind_proxy, server},
    transactional::HeldCommits,
};

scenarios! {
    [postgres]
        a_commit_whose_answer_is_lost_is_found_out,
        a_commit_whose_answer_never_comes_is_found_out,
        a_handlers_commit_whose_answer_is_lost_is_found_out,
        a_commit_in_one_call_whose_answer_is_lost_is_found_out,
        a_server_that_dies_before_the_commit_has_nothing,
        a_server_that_dies_in_the_commit_has_both_or_nothing
}

const TRANSACTIONAL: [&str; 3] = ["--transactional", "--operation-timeout-ms", "1500"];
const FENCED: [&str; 3] = ["--fenced", "--operation-timeout-ms", "1500"];

async fn assert_once(fixture: &Fixture, path: &str) {
    let replay = fixture.post(path).key("k").send().await;
    assert_eq!(
        (replay.status, replay.is_replay()),
        (201, true),
        "{}",
        replay.text()
    );
    assert_eq!(fixture.effects().await, ["k"]);
    assert_eq!(fixture.completed().await, 1);
}

async fn swallow(arguments: &[&str], path: &str, after: AfterSwallow) {
    let server = server().await;
    let (proxy, setup) = behind_proxy(&server).await;
    let fixture = setup.args(arguments).start().await;
    // Connections are there before the trap is set.
    assert!(fixture.post(path).key("before").send().await.is_stored());
    fixture.reset().await;
    proxy.after_swallow(after);
    proxy.swallow_next_commit_reply();
    let first = fixture.post(path).key("k").send().await;
    assert_eq!(proxy.swallowed(), 1);
    assert_eq!(first.status, 201, "{}", first.text());
    assert!(first.is_stored());
    assert_eq!(fixture.count("/tx").await, 1);
    let replay = fixture.post(path).key("k").send().await;
    replay.assert_replay_of(&first);
    assert_eq!(fixture.effects().await, ["k"]);
    assert_eq!(fixture.completed().await, 2);
}

async fn a_commit_whose_answer_is_lost_is_found_out(_: StoreKind) {
    swallow(&TRANSACTIONAL, "/tx", AfterSwallow::Cut).await;
}

async fn a_commit_whose_answer_never_comes_is_found_out(_: StoreKind) {
    swallow(&TRANSACTIONAL, "/tx", AfterSwallow::Hang).await;
}

async fn a_handlers_commit_whose_answer_is_lost_is_found_out(_: StoreKind) {
    swallow(&FENCED, "/tx", AfterSwallow::Cut).await;
}

async fn a_commit_in_one_call_whose_answer_is_lost_is_found_out(_: StoreKind) {
    swallow(&FENCED, "/tx?at_once=1", AfterSwallow::Cut).await;
}

async fn a_server_that_dies_before_the_commit_has_nothing(_: StoreKind) {
    let server = server().await;
    let fixture = Fixture::start_on(&server.url(), &TRANSACTIONAL).await;
    let running = tokio::spawn(fixture.post("/tx?gate=g").key("k").send());
    fixture.at_gate("g", 1).await;
    server.kill().unwrap();
    fixture.release("g").await;
    let refused = running.await.unwrap();
    refused.assert_problem(503, "TRANSACTION_ROLLED_BACK");
    server.start_again().unwrap();
    let retry = fixture.post("/tx?gate=g").key("k");
    eventually(|| async { retry.clone().send().await.is_stored() }).await;
    assert_once(&fixture, "/tx?gate=g").await;
}

/// Nobody knows how the commit ended until the server is back.
async fn a_server_that_dies_in_the_commit_has_both_or_nothing(_: StoreKind) {
    let server = server().await;
    let fixture = Fixture::start_on(&server.url(), &TRANSACTIONAL).await;
    let mut held = HeldCommits::hold(&fixture).await;
    let running = tokio::spawn(fixture.post("/tx").key("k").send());
    held.reached().await;
    server.kill().unwrap();
    let refused = running.await.unwrap();
    refused.assert_problem(503, "IDEMPOTENCY_STORE_UNAVAILABLE");
    assert_eq!(fixture.count("/tx").await, 1);
    server.start_again().unwrap();
    drop(held);
    let retry = fixture.post("/tx").key("k");
    eventually(|| async { retry.clone().send().await.status == 201 }).await;
    assert_once(&fixture, "/tx").await;
    // The first execution finds out by itself, and changes nothing.
    let found = "a transaction was rolled back; its key is free";
    let taken_over = "a key was taken over before its response was stored";
    let both = || async {
        let logs = fixture.logs();
        logs.contains(found) || logs.contains(taken_over)
    };
    tokio::time::timeout(Duration::from_secs(10), eventually(both))
        .await
        .expect("the first execution ends");
    assert_once(&fixture, "/tx").await;
}

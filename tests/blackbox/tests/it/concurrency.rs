//! CON: requests at the same time.

use std::time::{Duration, Instant};

use blackbox::{Fixture, Reply, StoreKind, scenarios};
use futures_util::future::join_all;

scenarios! {
    [memory, sqlite, postgres]
        con_01_a_duplicate_of_a_running_request_is_told_to_wait,
        con_03_of_many_at_once_one_runs,
        con_04_different_keys_run_side_by_side,
        con_08_a_waiting_duplicate_gets_the_answer,
        con_08_a_waiting_duplicate_gives_up,
        con_09_a_failure_lets_the_next_one_run,
        con_15_two_principals_do_not_meet;
    [sqlite, postgres]
        con_05_of_many_at_once_in_two_processes_one_runs,
        con_08_a_duplicate_waits_for_another_process;
    [postgres]
        con_11_duplicates_need_no_more_connections_than_there_are
}

fn in_progress(reply: &Reply) {
    reply.assert_problem(409, "REQUEST_IN_PROGRESS");
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
}

/// Also CON-02, CON-06 and CON-07: the duplicate is quick, and its 409 is kept by nobody.
async fn con_01_a_duplicate_of_a_running_request_is_told_to_wait(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = tokio::spawn(fixture.post("/gate/g").key("k").send());
    fixture.at_gate("g", 1).await;
    let begun = Instant::now();
    in_progress(&fixture.post("/gate/g").key("k").send().await);
    assert!(
        begun.elapsed() < Duration::from_millis(500),
        "{:?}",
        begun.elapsed()
    );
    fixture.release("g").await;
    let first = first.await.unwrap();
    fixture
        .post("/gate/g")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
    assert_eq!(fixture.count("/gate/g").await, 1);
}

fn assert_one_ran(replies: &[Reply]) {
    let stored = replies.iter().filter(|reply| reply.is_stored()).count();
    assert_eq!(stored, 1);
    for reply in replies
        .iter()
        .filter(|reply| !reply.is_stored() && !reply.is_replay())
    {
        in_progress(reply);
    }
}

async fn con_03_of_many_at_once_one_runs(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let sent = (0..50).map(|_| fixture.post("/slow?ms=50").key("k").send());
    assert_one_ran(&join_all(sent).await);
    assert_eq!(fixture.count("/slow").await, 1);
}

async fn con_05_of_many_at_once_in_two_processes_one_runs(store: StoreKind) {
    let a = Fixture::start(store, &[]).await;
    let b = a.second(&[]).await;
    let sent = (0..50).map(|n| {
        let fixture = if n % 2 == 0 { &a } else { &b };
        fixture.post("/slow?ms=50").key("k").send()
    });
    assert_one_ran(&join_all(sent).await);
    assert_eq!(a.count("/slow").await + b.count("/slow").await, 1);
}

async fn con_04_different_keys_run_side_by_side(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let sent = (0..50).map(|n| fixture.post("/slow?ms=20").key(format!("k-{n}")).send());
    let replies = join_all(sent).await;
    assert!(replies.iter().all(Reply::is_stored));
    assert_eq!(fixture.count("/slow").await, 50);
}

async fn con_08_a_waiting_duplicate_gets_the_answer(store: StoreKind) {
    let fixture = Fixture::start(store, &["--wait-ms", "10000"]).await;
    let first = tokio::spawn(fixture.post("/gate/g").key("k").send());
    fixture.at_gate("g", 1).await;
    let waiting: Vec<_> = (0..20)
        .map(|_| tokio::spawn(fixture.post("/gate/g").key("k").send()))
        .collect();
    fixture.release("g").await;
    let first = first.await.unwrap();
    for reply in waiting {
        reply.await.unwrap().assert_replay_of(&first);
    }
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn con_08_a_duplicate_waits_for_another_process(store: StoreKind) {
    let a = Fixture::start(store, &[]).await;
    let b = a.second(&["--wait-ms", "10000"]).await;
    let first = tokio::spawn(a.post("/gate/g").key("k").send());
    a.at_gate("g", 1).await;
    let waiting: Vec<_> = (0..5)
        .map(|_| tokio::spawn(b.post("/gate/g").key("k").send()))
        .collect();
    a.release("g").await;
    let first = first.await.unwrap();
    for reply in waiting {
        reply.await.unwrap().assert_replay_of(&first);
    }
    assert_eq!(b.count("/gate/g").await, 0);
}

async fn con_08_a_waiting_duplicate_gives_up(store: StoreKind) {
    let fixture = Fixture::start(store, &["--wait-ms", "300"]).await;
    let first = tokio::spawn(fixture.post("/gate/g").key("k").send());
    fixture.at_gate("g", 1).await;
    let begun = Instant::now();
    in_progress(&fixture.post("/gate/g").key("k").send().await);
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    fixture.release("g").await;
    assert!(first.await.unwrap().is_stored());
}

async fn con_09_a_failure_lets_the_next_one_run(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = fixture.post("/status/500?once=1").key("k");
    assert_eq!(request.clone().send().await.status, 500);
    let reply = request.send().await;
    assert!(reply.is_stored());
    assert_eq!((reply.status, fixture.count("/status/500").await), (201, 2));
}

async fn con_11_duplicates_need_no_more_connections_than_there_are(store: StoreKind) {
    let fixture = Fixture::start(store, &["--pool-size", "2"]).await;
    let first = tokio::spawn(fixture.post("/gate/g").key("k").send());
    fixture.at_gate("g", 1).await;
    let begun = Instant::now();
    let sent = (0..50).map(|_| fixture.post("/gate/g").key("k").send());
    join_all(sent).await.iter().for_each(in_progress);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    fixture.release("g").await;
    assert!(first.await.unwrap().is_stored());
}

async fn con_15_two_principals_do_not_meet(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let alice = tokio::spawn(fixture.post("/gate/g").key("k").send());
    let bob = tokio::spawn(fixture.post("/gate/g").key("k").bearer("bob").send());
    fixture.at_gate("g", 2).await;
    fixture.release("g").await;
    assert!(alice.await.unwrap().is_stored() && bob.await.unwrap().is_stored());
}

//! CON-08: what waiting costs.

use std::{
    fs,
    time::{Duration, Instant},
};

use blackbox::{Fixture, Reply, StoreKind, eventually, fresh_key, scenarios};
use throwaway_postgres::Server;
use tokio::task::JoinSet;

use crate::server::server_with;

scenarios! {
    [memory, sqlite, postgres]
        the_end_of_an_execution_in_this_process_is_heard_at_once;

    [postgres]
        all_who_wait_in_a_process_ask_with_one_voice
}

/// They would ask the store only in ten seconds.
async fn the_end_of_an_execution_in_this_process_is_heard_at_once(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--wait-ms", "15000", "--poll-ms", "10000"]).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let waiting: JoinSet<Reply> = (0..10).map(|_| call.clone().send()).collect();
    let begun = Instant::now();
    fixture.release("g").await;
    let first = first.await.unwrap();
    for reply in waiting.join_all().await {
        reply.assert_replay_of(&first);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

/// How often the server was asked to claim, and how often about the keys that are waited for.
fn asked(server: &Server) -> (usize, usize) {
    let log = fs::read_to_string(server.folder().join("log")).unwrap();
    let times = |part| log.matches(part).count();
    // Those that are in flight together are in one statement.
    (times("found AS MATERIALIZED ("), times("AS waited (id)"))
}

/// Waits until nobody claims any more, and returns how often the server was asked to.
///
/// Each claims, joins those who wait, and claims once more, so that it misses nothing. From then
/// on, who waits does not ask by itself.
async fn claims_of_those_who_wait(server: &Server) -> usize {
    eventually(|| async {
        let (claims, before) = asked(server);
        eventually(|| async { asked(server).1 >= before + 20 }).await;
        claims > 0 && asked(server).0 == claims
    })
    .await;
    asked(server).0
}

/// A hundred waiters on twenty keys that another process executes, and two connections.
async fn all_who_wait_in_a_process_ask_with_one_voice(_: StoreKind) {
    const KEYS: usize = 20;
    const WAITERS: usize = 100;
    let server = server_with(&[("log_statement", "all")]).await;
    let a = Fixture::start_on(&server.url(), &[]).await;
    let flags = ["--pool-size", "2", "--wait-ms", "15000", "--poll-ms", "50"];
    let b = a.second(&flags).await;
    let keys: Vec<String> = (0..KEYS).map(|_| fresh_key()).collect();
    let running: JoinSet<Reply> = keys
        .iter()
        .map(|key| a.post("/gate/g").key(key).send())
        .collect();
    a.at_gate("g", KEYS).await;
    let waiting: JoinSet<Reply> = keys
        .iter()
        .cycle()
        .take(WAITERS)
        .map(|key| b.post("/gate/g").key(key).send())
        .collect();
    let claims = claims_of_those_who_wait(&server).await;
    // A machine that is busy may be late once.
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(b.post("/echo").key(fresh_key()).send().await.is_stored());
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");

    a.release("g").await;
    for reply in running.join_all().await {
        assert!(reply.is_stored());
    }
    for reply in waiting.join_all().await {
        assert_eq!(
            (reply.status, reply.is_replay()),
            (201, true),
            "{}",
            reply.text()
        );
    }
    let (all, _) = asked(&server);
    assert!(all <= claims + 3 + 2 * WAITERS, "{all} claims");
    assert_eq!(b.count("/gate/g").await, 0);
    // Nobody waits any more, and nobody asks.
    let (_, polls) = asked(&server);
    for _ in 0..5 {
        assert!(
            b.post("/slow?ms=100")
                .key(fresh_key())
                .send()
                .await
                .is_stored()
        );
    }
    assert!(asked(&server).1 <= polls + 1);
}

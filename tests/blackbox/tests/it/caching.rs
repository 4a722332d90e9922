//! Replays from the memory of a process, and how long they may differ from the database.

use std::time::{Duration, Instant};

use blackbox::{Fixture, StoreKind, eventually, scenarios};
use sqlx::Executor;
use throwaway_postgres::Mode;

use crate::server::server;

scenarios! {
    [sqlite, postgres]
        a_record_is_read_once_by_each_process,
        a_cache_that_is_off_asks_every_time;
    [postgres]
        what_was_replayed_is_replayed_while_the_store_is_down,
        so_is_the_response_of_a_transaction,
        without_a_cache_nothing_is_replayed_while_the_store_is_down,
        a_deletion_by_hand_is_seen_after_the_staleness
}

const READ: &str = "Replayed { cached: false }";
const CACHED: &str = "Replayed { cached: true }";

/// Whoever has completed asks once, too.
async fn a_record_is_read_once_by_each_process(store: StoreKind) {
    let one = Fixture::start(store, &[]).await;
    let two = one.second(&[]).await;
    let first = one.post("/uuid").key("k").send().await;
    assert!(first.is_stored());
    for fixture in [&one, &one, &two, &two, &two] {
        let replay = fixture.post("/uuid").key("k").send().await;
        replay.assert_replay_of(&first);
    }
    assert_eq!((one.outcome(READ).await, one.outcome(CACHED).await), (1, 1));
    assert_eq!((two.outcome(READ).await, two.outcome(CACHED).await), (1, 2));
}

async fn a_cache_that_is_off_asks_every_time(store: StoreKind) {
    let fixture = Fixture::start(store, &["--no-cache"]).await;
    let first = fixture.post("/uuid").key("k").send().await;
    for _ in 0..3 {
        let replay = fixture.post("/uuid").key("k").send().await;
        replay.assert_replay_of(&first);
    }
    assert_eq!(fixture.outcome(READ).await, 3);
    assert_eq!(fixture.outcome(CACHED).await, 0);
}

/// Returns how a retry is answered while the server is down, and how another key is.
async fn while_the_store_is_down(arguments: &[&str]) -> [u16; 2] {
    // A busy machine takes its time, too.
    let common = [
        "--operation-timeout-ms",
        "1000",
        "--cache-staleness-ms",
        "60000",
    ];
    let server = server().await;
    let fixture = Fixture::start_on(&server.url(), &[&common, arguments].concat()).await;
    let first = fixture.post("/uuid").key("k").send().await;
    assert!(first.is_stored());
    let replay = fixture.post("/uuid").key("k").send().await;
    replay.assert_replay_of(&first);
    server.stop(Mode::Fast).unwrap();
    let retry = fixture.post("/uuid").key("k").send().await;
    let other = fixture.post("/uuid").key("other").send().await;
    assert_eq!(fixture.count("/uuid").await, 1);
    if retry.status == first.status {
        retry.assert_replay_of(&first);
    }
    [retry.status, other.status]
}

async fn what_was_replayed_is_replayed_while_the_store_is_down(_: StoreKind) {
    assert_eq!(while_the_store_is_down(&[]).await, [201, 503]);
}

async fn so_is_the_response_of_a_transaction(_: StoreKind) {
    let answers = while_the_store_is_down(&["--transactional"]).await;
    assert_eq!(answers, [201, 503]);
}

async fn without_a_cache_nothing_is_replayed_while_the_store_is_down(_: StoreKind) {
    let answers = while_the_store_is_down(&["--no-cache"]).await;
    assert_eq!(answers, [503, 503]);
}

/// What an operator does in the database counts at once where there is no copy, and everywhere
/// after the staleness, however often a client asks meanwhile.
async fn a_deletion_by_hand_is_seen_after_the_staleness(store: StoreKind) {
    let fixture = Fixture::start(store, &["--cache-staleness-ms", "2000"]).await;
    let call = fixture.post("/uuid").key("k");
    let first = call.clone().send().await;
    assert!(first.is_stored());
    call.clone().send().await.assert_replay_of(&first);
    let mut database = fixture.database().postgres().await;
    let deleted = database.execute("DELETE FROM idempotency_keys").await;
    assert_eq!(deleted.unwrap().rows_affected(), 1);
    let begun = Instant::now();
    eventually(|| async { call.clone().send().await.is_stored() }).await;
    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_secs(7), "{elapsed:?}");
    assert_eq!(fixture.count("/uuid").await, 2);
}

//! TX: the layer hands out the transaction, and commits effect and record together.

use std::time::{Duration, Instant};

use blackbox::{Call, Fixture, Reply, Setup, StoreKind, eventually, fresh_key, scenarios};
use serde_json::json;
use tokio::task::JoinSet;

scenarios! {
    pooled;
    [sqlite, postgres]
        sto_14_what_a_failed_handler_wrote_is_rolled_back,
        sto_15_effect_and_record_appear_together,
        a_server_killed_after_the_commit_leaves_both;

    [sqlite]
        a_server_killed_before_the_commit_leaves_nothing;

    [postgres]
        a_server_killed_before_the_commit_leaves_nothing_and_frees_its_key_at_once,
        a_server_killed_in_the_commit_leaves_both_or_nothing,
        a_stopped_owner_loses_its_key_in_time_and_cannot_commit,
        con_11_fifty_duplicates_are_answered_while_one_handler_holds_a_connection,
        a_request_that_gets_no_connection_is_refused_within_the_bound
}

/// A fixture that hands out transactions.
async fn start(kind: StoreKind, arguments: &[&str]) -> Fixture {
    setup(kind, arguments).start().await
}

fn setup(kind: StoreKind, arguments: &[&str]) -> Setup {
    Setup::new(kind).args(&["--transactional"]).args(arguments)
}

async fn second(fixture: &Fixture, arguments: &[&str]) -> Fixture {
    let setup = fixture.another().args(&["--transactional"]);
    setup.args(arguments).start().await
}

/// Asserts that there is one effect, and one record that says so.
#[track_caller]
fn assert_both(effects: &[String], completed: usize) {
    assert_eq!((effects.len(), completed), (1, 1), "{effects:?}");
}

/// Sends until the answer is not 409, and returns how long that took.
async fn insist(call: &Call) -> (Reply, Duration) {
    let begun = Instant::now();
    loop {
        let reply = call.clone().send().await;
        if reply.status != 409 || begun.elapsed() > Duration::from_secs(20) {
            return (reply, begun.elapsed());
        }
        reply.assert_problem(409, "REQUEST_IN_PROGRESS");
    }
}

/// Also that the failure is recorded, with its attempt.
async fn sto_14_what_a_failed_handler_wrote_is_rolled_back(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?fail=1&once=1").key(fresh_key());
    let failed = call.clone().send().await;
    failed.assert_executed(500);
    assert!(!failed.is_stored());
    assert!(fixture.effects().await.is_empty());
    let row = &fixture.rows().await[0];
    assert_eq!(
        (&row["state"], &row["attempt"]),
        (&json!("failed"), &json!(1))
    );
    assert_eq!(row["failure"]["error"], "status 500");

    let first = call.clone().send().await;
    first.assert_executed(201);
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture.effects().await, fixture.completed().await);
    assert_eq!(fixture.rows().await[0]["attempt"], 2);
}

async fn sto_15_effect_and_record_appear_together(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?gate=g").key(fresh_key());
    let running = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    assert!(fixture.effects().await.is_empty(), "nobody sees it yet");
    // SQLite keeps a lease beside the transaction.
    assert_eq!(fixture.completed().await, 0);
    fixture.release("g").await;
    let first = running.await.unwrap();
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture.effects().await, fixture.completed().await);
    assert_eq!(fixture.count("/tx").await, 1);
}

/// The lease would last thirty seconds, but a transaction has none.
async fn a_server_killed_before_the_commit_leaves_nothing_and_frees_its_key_at_once(
    kind: StoreKind,
) {
    let a = start(kind, &[]).await;
    let b = second(&a, &[]).await;
    let running = tokio::spawn(a.post("/tx?gate=g").key("k").try_send());
    a.at_gate("g", 1).await;
    let retry = b.post("/tx?gate=g").key("k");
    retry
        .clone()
        .send()
        .await
        .assert_problem(409, "REQUEST_IN_PROGRESS");
    b.release("g").await;
    a.kill9();
    assert!(running.await.unwrap().is_err());
    let (first, taken) = insist(&retry).await;
    assert!(first.is_stored(), "{} {}", first.status, first.text());
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    retry.send().await.assert_replay_of(&first);
    assert_both(&b.effects().await, b.completed().await);
    assert_eq!(b.rows().await[0]["attempt"], 1, "the first left no trace");
}

/// The effect is gone with the process, and the key is free after its lease.
async fn a_server_killed_before_the_commit_leaves_nothing(kind: StoreKind) {
    let lease = ["--lease-ms", "1000"];
    let a = start(kind, &lease).await;
    let b = second(&a, &lease).await;
    let running = tokio::spawn(a.post("/tx?gate=g").key("k").try_send());
    a.at_gate("g", 1).await;
    b.release("g").await;
    let retry = b.post("/tx?gate=g").key("k");
    let duplicate = retry.clone().send().await;
    duplicate.assert_problem(409, "REQUEST_IN_PROGRESS");
    a.kill9();
    assert!(running.await.unwrap().is_err());
    let (first, taken) = insist(&retry).await;
    assert!(first.is_stored(), "{} {}", first.status, first.text());
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    retry.send().await.assert_replay_of(&first);
    assert_both(&b.effects().await, b.completed().await);
    assert_eq!(b.rows().await[0]["attempt"], 2);
}

/// A deferred trigger that waits for a lock keeps the commit from ending.
const HOLD_COMMITS: &str = "
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(4711, TG_RELID::int);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON effects
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold();
    SELECT pg_advisory_lock(4711, 'effects'::regclass::oid::int)";

/// A connection that holds all commits of effects, and lets them go when it is dropped.
pub(crate) struct HeldCommits(sqlx::PgConnection);

impl HeldCommits {
    pub(crate) async fn hold(fixture: &Fixture) -> Self {
        let mut connection = fixture.database().postgres().await;
        let hold = sqlx::raw_sql(HOLD_COMMITS).execute(&mut connection);
        hold.await.unwrap();
        Self(connection)
    }

    /// Waits until somebody is about to commit.
    pub(crate) async fn reached(&mut self) {
        const WAITING: &str = "SELECT count(*) FROM pg_locks \
             WHERE locktype = 'advisory' AND NOT granted AND classid = 4711 \
               AND objid = 'effects'::regclass::oid";
        loop {
            let waiting = sqlx::query_scalar(WAITING).fetch_one(&mut self.0);
            let waiting: i64 = waiting.await.unwrap();
            if waiting > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn let_go(mut self) {
        let unlock = sqlx::raw_sql("SELECT pg_advisory_unlock_all()").execute(&mut self.0);
        unlock.await.unwrap();
    }
}

/// The COMMIT has arrived, and nobody is there any more to hear how it ended.
async fn a_server_killed_in_the_commit_leaves_both_or_nothing(kind: StoreKind) {
    let a = start(kind, &[]).await;
    let b = second(&a, &[]).await;
    let mut held = HeldCommits::hold(&a).await;
    let running = tokio::spawn(a.post("/tx").key("k").try_send());
    held.reached().await;
    let retry = b.post("/tx").key("k");
    retry
        .clone()
        .send()
        .await
        .assert_problem(409, "REQUEST_IN_PROGRESS");
    a.kill9();
    assert!(running.await.unwrap().is_err());
    held.let_go().await;
    let (reply, _) = insist(&retry).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert!(retry.send().await.is_replay());
    assert_both(&b.effects().await, b.completed().await);
}

async fn a_server_killed_after_the_commit_leaves_both(kind: StoreKind) {
    let a = start(kind, &[]).await;
    let b = second(&a, &[]).await;
    let call = a.post("/tx").key("k").header("x-hold-response", "g");
    let lost = tokio::spawn(call.try_send());
    a.at_gate("g", 1).await;
    a.kill9();
    assert!(lost.await.unwrap().is_err());
    let retry = b.post("/tx").key("k").send().await;
    assert_eq!((retry.status, retry.is_replay()), (201, true));
    assert_both(&b.effects().await, b.completed().await);
    assert_eq!(b.count("/tx").await, 0);
}

async fn a_stopped_owner_loses_its_key_in_time_and_cannot_commit(kind: StoreKind) {
    let stall = ["--stall-timeout-ms", "1000"];
    let a = start(kind, &stall).await;
    let b = second(&a, &stall).await;
    let stopped = tokio::spawn(a.post("/tx?gate=g").key("k").send());
    a.at_gate("g", 1).await;
    b.release("g").await;
    a.pause();
    let retry = b.post("/tx?gate=g").key("k");
    let (winner, taken) = insist(&retry).await;
    assert!(winner.is_stored(), "{} {}", winner.status, winner.text());
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    a.resume();
    a.release("g").await;
    let late = stopped.await.unwrap();
    if late.status != 503 {
        late.assert_replay_of(&winner);
    }
    retry.send().await.assert_replay_of(&winner);
    assert_both(&b.effects().await, b.completed().await);
}

async fn con_11_fifty_duplicates_are_answered_while_one_handler_holds_a_connection(
    kind: StoreKind,
) {
    let fixture = start(kind, &["--pool-size", "2"]).await;
    let call = fixture.post("/tx?gate=g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let begun = Instant::now();
    let duplicates: JoinSet<Reply> = vec![call; 50].into_iter().map(Call::send).collect();
    for reply in duplicates.join_all().await {
        reply.assert_problem(409, "REQUEST_IN_PROGRESS");
    }
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(4), "{taken:?}");
    fixture.release("g").await;
    assert!(first.await.unwrap().is_stored());
    assert_both(&fixture.effects().await, fixture.completed().await);
}

async fn a_request_that_gets_no_connection_is_refused_within_the_bound(kind: StoreKind) {
    let fixture = start(
        kind,
        &["--pool-size", "1", "--operation-timeout-ms", "1000"],
    )
    .await;
    let call = fixture.post("/tx?gate=g").key("k");
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    for key in ["other", "k"] {
        let begun = Instant::now();
        let refused = fixture.post("/tx?gate=g").key(key).send().await;
        refused.assert_problem(503, "IDEMPOTENCY_STORE_UNAVAILABLE");
        assert!(refused.header("retry-after").is_some());
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
    }
    fixture.release("g").await;
    let first = first.await.unwrap();
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    let other = fixture.post("/tx?gate=g").key("other").send().await;
    assert!(other.is_stored());
    eventually(|| async { fixture.effects().await.len() == 2 }).await;
}

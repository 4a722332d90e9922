//! FEN: handlers that complete their key in a transaction of their own.

use std::time::{Duration, Instant};

use blackbox::{Call, Fixture, Reply, StoreKind, eventually, fresh_key, scenarios};
use serde_json::json;
use sqlx::PgConnection;
use tokio::{sync::watch, task::JoinSet, time::interval};

scenarios! {
    pooled;
    [sqlite, postgres]
        sto_15_a_fenced_commit_keeps_both,
        sto_14_a_failed_handler_leaves_nothing,
        a_handler_that_lost_its_lease_cannot_commit,
        a_handler_that_does_not_commit_is_found_out,
        a_handler_that_rolls_back_may_refuse,
        a_handler_that_rolls_back_may_ask,
        what_was_committed_is_final_whatever_the_handler_says,
        a_server_killed_before_the_commit_leaves_nothing,
        a_server_killed_after_the_commit_leaves_both,
        a_request_without_a_key_is_committed_alone,
        a_commit_in_one_call_keeps_both,
        a_handler_that_lost_its_lease_cannot_commit_in_one_call,
        a_handler_that_fails_after_its_commit_is_answered_with_what_it_kept,
        a_server_killed_after_a_commit_in_one_call_leaves_both;

    [postgres]
        an_effect_in_one_statement_is_committed_with_its_record,
        a_handler_that_lost_its_lease_has_no_effect_in_one_statement,
        a_server_killed_after_an_effect_in_one_statement_leaves_both,
        a_statement_that_finds_nothing_to_do_can_be_refused,
        a_transaction_that_stays_open_stalls_nobody
}

async fn start(kind: StoreKind, arguments: &[&str]) -> Fixture {
    Fixture::start(kind, &[&["--fenced"], arguments].concat()).await
}

async fn second(fixture: &Fixture, arguments: &[&str]) -> Fixture {
    let setup = fixture.another().args(&["--fenced"]);
    setup.args(arguments).start().await
}

async fn assert_both(fixture: &Fixture) {
    assert_eq!(fixture.effects().await, ["k"]);
    assert_eq!(fixture.completed().await, 1);
}

async fn assert_neither(fixture: &Fixture) {
    assert!(fixture.effects().await.is_empty());
    assert_eq!(fixture.completed().await, 0);
}

/// Sends until the answer is not 409.
async fn insist(call: &Call) -> Reply {
    let begun = Instant::now();
    loop {
        let reply = call.clone().send().await;
        if reply.status != 409 || begun.elapsed() > Duration::from_secs(20) {
            return reply;
        }
    }
}

async fn sto_15_a_fenced_commit_keeps_both(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?gate_after=g").key("k");
    let running = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    assert_neither(&fixture).await;
    let duplicate = call.clone().send().await;
    duplicate.assert_problem(409, "REQUEST_IN_PROGRESS");
    fixture.release("g").await;
    let first = running.await.unwrap();
    first.assert_executed(201);
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture).await;
    assert_eq!(fixture.count("/tx").await, 1);
}

async fn a_commit_in_one_call_keeps_both(kind: StoreKind) {
    keep_both(kind, "/tx?at_once=1").await;
}

async fn an_effect_in_one_statement_is_committed_with_its_record(kind: StoreKind) {
    keep_both(kind, "/tx?one_statement=1").await;
}

async fn keep_both(kind: StoreKind, path: &str) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post(path).key("k");
    let first = call.clone().send().await;
    first.assert_executed(201);
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture).await;
    assert_eq!(fixture.count("/tx").await, 1);
}

/// What is committed is what every retry gets, so the client gets it at once.
async fn a_handler_that_fails_after_its_commit_is_answered_with_what_it_kept(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture
        .post("/tx?at_once=1&fail_late=1&status=202")
        .key("k");
    let first = call.clone().send().await;
    assert_eq!((first.status, first.is_stored()), (202, true));
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture).await;
}

async fn sto_14_a_failed_handler_leaves_nothing(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let failures = ["/tx?fail=1&once=1", "/tx?panic=1&once=1"];
    for (number, path) in failures.into_iter().enumerate() {
        let call = fixture.post(path).key(format!("k-{number}"));
        let failed = call.clone().send().await;
        assert_eq!((failed.status, failed.is_stored()), (500, false));
        assert_eq!(fixture.effects().await.len(), number);
        assert_eq!(fixture.completed().await, number);
        let first = call.clone().send().await;
        assert!(first.is_stored());
        call.send().await.assert_replay_of(&first);
        assert_eq!(fixture.effects().await.len(), number + 1);
        assert_eq!(fixture.completed().await, number + 1);
    }
    let rows = fixture.rows().await;
    assert!(rows.iter().all(|row| row["attempt"] == 2), "{rows:?}");
}

async fn a_handler_that_rolls_back_may_ask(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let question = fixture.post("/tx?fail=1&status=402&wish=not_final");
    for _ in 0..2 {
        let reply = question.clone().key("k").send().await;
        assert_eq!((reply.status, reply.is_stored()), (402, false));
        assert_neither(&fixture).await;
    }
    let call = fixture.post("/tx").key("k");
    let first = call.clone().send().await;
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture).await;
}

async fn what_was_committed_is_final_whatever_the_handler_says(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?wish=not_final").key("k");
    let first = call.clone().send().await;
    assert_eq!((first.status, first.is_stored()), (201, true));
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture).await;
}

async fn a_handler_that_lost_its_lease_cannot_commit(kind: StoreKind) {
    lose_the_lease(kind, "/tx?gate_before=g").await;
}

async fn a_handler_that_lost_its_lease_cannot_commit_in_one_call(kind: StoreKind) {
    lose_the_lease(kind, "/tx?gate_before=g&at_once=1").await;
}

async fn a_handler_that_lost_its_lease_has_no_effect_in_one_statement(kind: StoreKind) {
    lose_the_lease(kind, "/tx?gate_before=g&one_statement=1").await;
}

/// Both wait before they begin; the first is stopped for longer than its lease.
async fn lose_the_lease(kind: StoreKind, path: &str) {
    let a = start(kind, &["--lease-ms", "600"]).await;
    let b = second(&a, &["--lease-ms", "600"]).await;
    let stalled = tokio::spawn(a.post(path).key("k").send());
    a.at_gate("g", 1).await;
    a.pause();
    b.release("g").await;
    let call = b.post(path).key("k");
    let winner = insist(&call).await;
    assert!(winner.is_stored(), "{} {}", winner.status, winner.text());
    a.resume();
    a.release("g").await;
    stalled.await.unwrap().assert_replay_of(&winner);
    call.send().await.assert_replay_of(&winner);
    assert_both(&b).await;
    assert_eq!(b.rows().await[0]["attempt"], 2);
    let refused = "a response was not kept in the transaction";
    eventually(|| async { a.logs().contains(refused) }).await;
    let too_late = "a transaction was committed that must not be";
    assert!(!a.logs().contains(too_late), "it has tried");
}

async fn a_handler_that_does_not_commit_is_found_out(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?skip_commit=1&once=1").key("k");
    let lie = call.clone().send().await;
    lie.assert_problem(500, "TRANSACTION_NOT_COMMITTED");
    assert_neither(&fixture).await;
    let row = &fixture.rows().await[0];
    assert_eq!(
        (&row["state"], &row["attempt"]),
        (&json!("failed"), &json!(1))
    );
    let first = call.clone().send().await;
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture).await;
}

async fn a_handler_that_rolls_back_may_refuse(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    // It had kept a response, and then found out that it cannot be.
    let call = fixture.post("/tx?skip_commit=1&status=422&once=1").key("k");
    let refusal = call.clone().send().await;
    refusal.assert_executed(422);
    assert!(!refusal.is_stored());
    assert_neither(&fixture).await;
    let again = call.send().await;
    assert_eq!((again.status, again.is_stored()), (422, true));
    assert_both(&fixture).await;
    // It has refused without keeping anything by itself: the layer does.
    let call = fixture.post("/tx?fail=1&status=409").key("other");
    let refusal = call.clone().send().await;
    refusal.assert_executed(409);
    assert!(refusal.is_stored());
    call.send().await.assert_replay_of(&refusal);
    assert_eq!(fixture.effects().await, ["k"]);
}

/// As after any transaction that is not committed, the key is given up.
async fn a_statement_that_finds_nothing_to_do_can_be_refused(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?one_statement=1&fail=1&once=1").key("k");
    let refusal = call.clone().send().await;
    refusal.assert_executed(422);
    assert!(!refusal.is_stored());
    assert_neither(&fixture).await;
    let first = call.clone().send().await;
    first.assert_executed(201);
    call.send().await.assert_replay_of(&first);
    assert_both(&fixture).await;
}

async fn a_server_killed_before_the_commit_leaves_nothing(kind: StoreKind) {
    let lease = ["--lease-ms", "1000"];
    let a = start(kind, &lease).await;
    let b = second(&a, &lease).await;
    let running = tokio::spawn(a.post("/tx?gate_after=g").key("k").try_send());
    a.at_gate("g", 1).await;
    a.kill9();
    assert!(running.await.unwrap().is_err());
    assert_neither(&b).await;
    b.release("g").await;
    let call = b.post("/tx?gate_after=g").key("k");
    let first = insist(&call).await;
    assert!(first.is_stored(), "{} {}", first.status, first.text());
    call.send().await.assert_replay_of(&first);
    assert_both(&b).await;
    assert_eq!(b.rows().await[0]["attempt"], 2);
}

/// The layer has not yet seen that the handler has committed.
async fn a_server_killed_after_the_commit_leaves_both(kind: StoreKind) {
    kill_after_the_commit(kind, "/tx?gate_done=g").await;
}

async fn a_server_killed_after_a_commit_in_one_call_leaves_both(kind: StoreKind) {
    kill_after_the_commit(kind, "/tx?gate_done=g&at_once=1").await;
}

async fn a_server_killed_after_an_effect_in_one_statement_leaves_both(kind: StoreKind) {
    kill_after_the_commit(kind, "/tx?gate_done=g&one_statement=1").await;
}

async fn kill_after_the_commit(kind: StoreKind, path: &str) {
    let a = start(kind, &[]).await;
    let b = second(&a, &[]).await;
    let running = tokio::spawn(a.post(path).key("k").try_send());
    a.at_gate("g", 1).await;
    assert_both(&b).await;
    a.kill9();
    assert!(running.await.unwrap().is_err());
    let retry = b.post(path).key("k").send().await;
    assert_eq!((retry.status, retry.is_replay()), (201, true));
    assert_eq!(retry.text(), "written");
    assert_both(&b).await;
    assert_eq!(b.count("/tx").await, 0);
}

async fn a_request_without_a_key_is_committed_alone(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    for effects in 1..=2 {
        fixture.post("/tx").send().await.assert_executed(201);
        assert_eq!(fixture.effects().await.len(), effects);
    }
    assert!(fixture.rows().await.is_empty());
}

/// How long the transaction stays open: five times as long as its lease.
const OPEN: Duration = Duration::from_secs(10);

/// No answer may take longer. What waits for the transaction takes twice as long, since that is how
/// long it stays open; a busy machine does not.
const STALLED: Duration = Duration::from_secs(5);

/// How soon nine of ten duplicates have to be answered.
const PROMPT: Duration = Duration::from_millis(500);

/// The backend of the only transaction that has written an effect and is open.
const WRITER: &str = "SELECT pid FROM pg_locks \
     WHERE relation = 'effects'::regclass AND mode = 'RowExclusiveLock'";

/// The row of a completed key is locked until its handler commits. Nothing else may wait for it.
async fn a_transaction_that_stays_open_stalls_nobody(kind: StoreKind) {
    let flags = ["--lease-ms", "2000", "--sweep-ms", "200"];
    let a = start(kind, &flags).await;
    let b = second(&a, &flags).await;
    let call = a.post("/tx?gate_after=g").key("k");
    let open = tokio::spawn(call.clone().send());
    // Another execution, whose lease has to be renewed all the time.
    let other = tokio::spawn(b.post("/gate/h").key("other").send());
    a.at_gate("g", 1).await;
    b.at_gate("h", 1).await;

    let (stop, stopped) = watch::channel(false);
    let mut client = a.database().postgres().await;
    let backend = sqlx::query_scalar(WRITER).fetch_one(&mut client).await;
    let looks = look_for_waiters(client, backend.unwrap(), stopped.clone());
    let looks = tokio::spawn(looks);
    let traffic: JoinSet<u64> = [&a, &b, &a, &b]
        .map(|fixture| send_others(fixture.post("/tx?retention_ms=2000"), stopped.clone()))
        .into_iter()
        .collect();
    let duplicates = [call.clone(), b.post("/tx?gate_after=g").key("k")];
    let executing = b.post("/gate/h").key("other");
    let end = Instant::now() + OPEN;
    send_duplicates(&[&duplicates[..], &[executing]].concat(), end).await;
    let left = a.physical_rows().await;
    stop.send_replace(true);
    assert!(looks.await.unwrap() > 50);
    let sent: u64 = traffic.join_all().await.into_iter().sum();
    assert!(sent > 50, "{sent}");
    assert!(
        left.unsigned_abs() < sent / 2,
        "{left} of {sent} records are not swept"
    );
    for row in b
        .rows()
        .await
        .iter()
        .filter(|row| row["state"] == "in_progress")
    {
        assert_eq!(row["attempt"], 1, "nobody has taken a key over");
    }

    a.release("g").await;
    b.release("h").await;
    let first = open.await.unwrap();
    first.assert_executed(201);
    assert!(first.is_stored());
    assert!(other.await.unwrap().is_stored());
    for duplicate in duplicates {
        duplicate.send().await.assert_replay_of(&first);
    }
    let effects = a.effects().await;
    assert_eq!(effects.iter().filter(|effect| *effect == "k").count(), 1);
    assert_eq!(effects.len() as u64, sent + 1);
}

/// Sends these again and again until `end`: each is answered 409, and nearly all at once.
async fn send_duplicates(duplicates: &[Call], end: Instant) {
    let mut pace = interval(Duration::from_millis(50));
    let (mut answers, mut late) = (0, 0);
    while Instant::now() < end {
        for duplicate in duplicates {
            let begun = Instant::now();
            let refused = duplicate.clone().send().await;
            refused.assert_problem(409, "REQUEST_IN_PROGRESS");
            let taken = begun.elapsed();
            assert!(taken < STALLED, "{taken:?}");
            answers += 1;
            late += u32::from(taken >= PROMPT);
        }
        pace.tick().await;
    }
    assert!(late * 10 <= answers, "{late} of {answers} answers are late");
}

/// Looks again and again whether somebody waits for this backend's transaction.
async fn look_for_waiters(
    mut client: PgConnection,
    backend: i32,
    stopped: watch::Receiver<bool>,
) -> u64 {
    const WAITERS: &str = "SELECT count(*) FROM pg_stat_activity \
         WHERE $1 = ANY (pg_blocking_pids(pid))";
    let mut pace = interval(Duration::from_millis(10));
    for looks in 0.. {
        if *stopped.borrow() {
            return looks;
        }
        let waiters = sqlx::query_scalar::<_, i64>(WAITERS).bind(backend);
        let waiters = waiters.fetch_one(&mut client).await.unwrap();
        assert_eq!(waiters, 0, "after {looks} looks");
        pace.tick().await;
    }
    0
}

/// Sends requests with other keys, none of which stalls, and returns how many.
async fn send_others(call: Call, stopped: watch::Receiver<bool>) -> u64 {
    let mut pace = interval(Duration::from_millis(40));
    for sent in 0.. {
        if *stopped.borrow() {
            return sent;
        }
        let begun = Instant::now();
        let reply = call.clone().key(fresh_key()).send().await;
        assert!(reply.is_stored(), "{} {}", reply.status, reply.text());
        assert!(begun.elapsed() < STALLED, "{:?}", begun.elapsed());
        pace.tick().await;
    }
    0
}

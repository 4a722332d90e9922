//! Requests at the same time (CON).

use std::time::{Duration, Instant};

use blackbox::{Call, Fixture, Reply, StoreKind, fresh_key, raw, scenarios};
use tokio::task::JoinSet;

scenarios! {
    pooled;
    [memory, sqlite, postgres]
    con_01_a_duplicate_of_a_running_request_is_told_to_come_again,
    con_02_a_retry_after_the_end_is_replayed,
    con_03_of_fifty_at_once_one_runs,
    con_03_of_fifty_streams_of_one_connection_one_runs,
    con_03_pipelined_duplicates_get_the_first_answer,
    con_04_fifty_keys_run_beside_each_other,
    con_06_a_409_is_never_kept,
    con_07_a_duplicate_is_answered_at_once,
    con_08_a_waiter_gets_the_answer_when_it_is_there,
    con_08_a_waiter_gives_up_after_its_time,
    con_08_a_waiter_runs_the_handler_itself_after_a_failure,
    con_08_beyond_the_places_for_waiters_duplicates_get_409,
    con_08_a_waiter_that_leaves_disturbs_nobody,
    con_09_after_a_failure_the_next_request_runs,
    con_09_duplicates_that_poll_through_a_failure_cause_one_more_run,
    con_15_two_principals_do_not_meet;

    [sqlite, postgres]
    con_05_of_fifty_in_two_processes_one_runs,
    con_07_a_duplicate_through_another_process_is_answered_at_once,
    con_08_a_waiter_in_another_process_gets_the_answer,
    con_11_fifty_duplicates_need_no_connection_of_their_own;
}

#[track_caller]
fn in_progress(reply: &Reply) {
    reply.assert_problem(409, "REQUEST_IN_PROGRESS");
    let seconds = reply
        .header("retry-after")
        .expect("a 409 says when to come again");
    let seconds: u64 = seconds.parse().expect("in whole seconds");
    assert!((1..=5).contains(&seconds), "{seconds}");
}

/// Sends all at once and returns the answers in any order.
async fn all(calls: impl IntoIterator<Item = Call>) -> Vec<Reply> {
    let sent: JoinSet<Reply> = calls.into_iter().map(Call::send).collect();
    sent.join_all().await
}

/// Asserts that one answer is the handler's, and all others are its replays or 409.
#[track_caller]
fn assert_one_ran(replies: &[Reply]) {
    let first: Vec<_> = replies.iter().filter(|reply| reply.is_stored()).collect();
    assert_eq!(first.len(), 1, "one handler answers");
    first[0].assert_executed(201);
    for reply in replies.iter().filter(|reply| !reply.is_stored()) {
        if reply.is_replay() {
            reply.assert_replay_of(first[0]);
        } else {
            in_progress(reply);
        }
    }
}

async fn con_01_a_duplicate_of_a_running_request_is_told_to_come_again(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/gate/g").key(fresh_key()).body("x");
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    for _ in 0..3 {
        in_progress(&call.clone().send().await);
    }
    assert_eq!(fixture.count("/gate/g").await, 1);
    let rows = fixture.rows().await;
    assert_eq!((rows.len(), &rows[0]["state"]), (1, &"in_progress".into()));
    fixture.release("g").await;
    first
        .await
        .expect("the first request is answered")
        .assert_executed(201);
}

async fn con_02_a_retry_after_the_end_is_replayed(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    in_progress(&call.clone().send().await);
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn con_03_of_fifty_at_once_one_runs(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/slow?ms=30").key(fresh_key());
    assert_one_ran(&all(vec![call; 50]).await);
    assert_eq!(fixture.count("/slow").await, 1);
}

async fn con_03_of_fifty_streams_of_one_connection_one_runs(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let connection = fixture.h2().await;
    let call = connection.post("/slow?ms=30").key(fresh_key());
    assert_one_ran(&all(vec![call; 50]).await);
    assert_eq!(fixture.count("/slow").await, 1);
}

async fn con_03_pipelined_duplicates_get_the_first_answer(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let request = b"POST /uuid HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\
        Idempotency-Key: k\r\nContent-Length: 1\r\n\r\nx";
    let mut connection = raw::Connection::open(fixture.addr()).await;
    connection.send(&request.repeat(4)).await;
    let first = connection.read_answer().await.expect("there is an answer");
    assert_eq!(first.header("x-idempotency-stored"), Some(&b"true"[..]));
    for _ in 0..3 {
        let next = connection.read_answer().await.expect("there is an answer");
        assert_eq!(next.header("x-idempotency-replay"), Some(&b"true"[..]));
        assert_eq!((next.status, next.body), (201, first.body.clone()));
    }
    assert_eq!(fixture.count("/uuid").await, 1);
}

async fn con_04_fifty_keys_run_beside_each_other(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let calls = (0..50).map(|_| fixture.post("/gate/g").key(fresh_key()));
    let calls: JoinSet<Reply> = calls.map(Call::send).collect();
    // All of them are in their handlers before one of them ends.
    fixture.at_gate("g", 50).await;
    fixture.release("g").await;
    for reply in calls.join_all().await {
        reply.assert_executed(201);
        assert!(reply.is_stored());
    }
    assert_eq!(fixture.count("/gate/g").await, 50);
}

async fn con_05_of_fifty_in_two_processes_one_runs(kind: StoreKind) {
    let a = Fixture::start(kind, &[]).await;
    let b = a.second(&[]).await;
    for _ in 0..3 {
        let key = fresh_key();
        let before = a.count("/slow").await + b.count("/slow").await;
        let both = [&a, &b].map(|fixture| fixture.post("/slow?ms=30").key(&key));
        let calls = (0..50).map(|number| both[number % 2].clone());
        assert_one_ran(&all(calls).await);
        assert_eq!(a.count("/slow").await + b.count("/slow").await, before + 1);
    }
}

async fn con_06_a_409_is_never_kept(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--stored", "everything"]).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    in_progress(&call.clone().send().await);
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    assert_eq!(first.status, 201);
    for _ in 0..3 {
        call.clone().send().await.assert_replay_of(&first);
    }
}

async fn con_07_a_duplicate_is_answered_at_once(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    answered_at_once(&fixture, &fixture).await;
}

async fn con_07_a_duplicate_through_another_process_is_answered_at_once(kind: StoreKind) {
    let a = Fixture::start(kind, &[]).await;
    let b = a.second(&[]).await;
    answered_at_once(&a, &b).await;
    assert_eq!(b.count("/gate/g").await, 0);
}

/// Asserts that a duplicate does not wait for the running request; the gate is shut meanwhile.
async fn answered_at_once(runner: &Fixture, other: &Fixture) {
    let key = fresh_key();
    let first = tokio::spawn(runner.post("/gate/g").key(&key).send());
    runner.at_gate("g", 1).await;
    // A machine that is busy may be late once.
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        in_progress(&other.post("/gate/g").key(&key).send().await);
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    runner.release("g").await;
    first
        .await
        .expect("the first request is answered")
        .assert_executed(201);
}

async fn con_08_a_waiter_gets_the_answer_when_it_is_there(kind: StoreKind) {
    // With a pause that long only being woken explains an answer in time.
    let flags = ["--wait-ms", "15000", "--poll-ms", "60000"];
    let fixture = Fixture::start(kind, &flags).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let waiters: JoinSet<Reply> = vec![call; 20].into_iter().map(Call::send).collect();
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    for reply in waiters.join_all().await {
        reply.assert_replay_of(&first);
    }
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn con_08_a_waiter_gives_up_after_its_time(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--wait-ms", "300"]).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let begun = Instant::now();
    in_progress(&call.send().await);
    let taken = begun.elapsed();
    assert!(taken >= Duration::from_millis(300), "{taken:?}");
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    fixture.release("g").await;
    first
        .await
        .expect("the first request is answered")
        .assert_executed(201);
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn con_08_a_waiter_runs_the_handler_itself_after_a_failure(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--wait-ms", "15000"]).await;
    let call = fixture.post("/gate/g?status=500&once=1").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let waiters: JoinSet<Reply> = vec![call; 10].into_iter().map(Call::send).collect();
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    first.assert_executed(500);
    assert_one_ran(&waiters.join_all().await);
    assert_eq!(fixture.count("/gate/g").await, 2);
}

async fn con_08_a_waiter_in_another_process_gets_the_answer(kind: StoreKind) {
    let a = Fixture::start(kind, &[]).await;
    let b = a.second(&["--wait-ms", "15000", "--poll-ms", "50"]).await;
    let key = fresh_key();
    let first = tokio::spawn(a.post("/gate/g").key(&key).send());
    a.at_gate("g", 1).await;
    let call = b.post("/gate/g").key(&key);
    let waiters: JoinSet<Reply> = vec![call; 20].into_iter().map(Call::send).collect();
    a.release("g").await;
    let first = first.await.expect("the first request is answered");
    for reply in waiters.join_all().await {
        reply.assert_replay_of(&first);
    }
    assert_eq!(b.count("/gate/g").await, 0);
}

async fn con_08_beyond_the_places_for_waiters_duplicates_get_409(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--wait-ms", "15000", "--waiters", "3"]).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let mut duplicates: JoinSet<Reply> = vec![call; 10].into_iter().map(Call::send).collect();
    for _ in 0..7 {
        let refused = duplicates.join_next().await.expect("seven have no place");
        in_progress(&refused.expect("the request is answered"));
    }
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    for reply in duplicates.join_all().await {
        reply.assert_replay_of(&first);
    }
}

async fn con_08_a_waiter_that_leaves_disturbs_nobody(kind: StoreKind) {
    let flags = ["--wait-ms", "15000", "--poll-ms", "20", "--waiters", "2"];
    let fixture = Fixture::start(kind, &flags).await;
    let call = fixture.post("/gate/g").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let mut duplicates = JoinSet::new();
    let handles = [0, 1, 2].map(|_| duplicates.spawn(call.clone().send()));
    // Both places are taken as soon as the third duplicate is refused.
    let refused = duplicates.join_next().await.expect("one has no place");
    in_progress(&refused.expect("the request is answered"));
    let leaving = handles.iter().find(|handle| !handle.is_finished());
    leaving.expect("two are waiting").abort();
    let left = duplicates.join_next().await.expect("two are waiting");
    assert!(left.is_err_and(|error| error.is_cancelled()));
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    let staying = duplicates.join_next().await.expect("one is waiting");
    let staying = staying.expect("the request is answered");
    staying.assert_replay_of(&first);
    assert_eq!(fixture.count("/gate/g").await, 1);
}

async fn con_09_after_a_failure_the_next_request_runs(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/gate/g?status=500&once=1").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    in_progress(&call.clone().send().await);
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    first.assert_executed(500);
    let second = call.clone().send().await;
    second.assert_executed(201);
    call.send().await.assert_replay_of(&second);
    assert_eq!(fixture.count("/gate/g").await, 2);
}

async fn con_09_duplicates_that_poll_through_a_failure_cause_one_more_run(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/gate/g?status=500&once=1").key(fresh_key());
    let first = tokio::spawn(call.clone().send());
    fixture.at_gate("g", 1).await;
    let pollers: JoinSet<Reply> = (0..10).map(|_| poll(call.clone())).collect();
    fixture.release("g").await;
    let first = first.await.expect("the first request is answered");
    first.assert_executed(500);
    let replies = pollers.join_all().await;
    assert_one_ran(&replies);
    assert!(replies.iter().all(|reply| reply.status == 201));
    assert_eq!(fixture.count("/gate/g").await, 2);
}

/// Sends again and again until the answer is not 409.
async fn poll(call: Call) -> Reply {
    for _ in 0..10_000 {
        let reply = call.clone().send().await;
        if reply.status != 409 {
            return reply;
        }
        in_progress(&reply);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the first request does not end");
}

async fn con_11_fifty_duplicates_need_no_connection_of_their_own(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--pool-size", "2"]).await;
    let key = fresh_key();
    // As many handlers as there are connections: none of them may hold one.
    let others: JoinSet<Reply> = (0..4)
        .map(|_| fixture.post("/gate/g").key(fresh_key()).send())
        .collect();
    let first = tokio::spawn(fixture.post("/gate/g").key(&key).send());
    fixture.at_gate("g", 5).await;
    let begun = Instant::now();
    let call = fixture.post("/gate/g").key(&key);
    for reply in all(vec![call; 50]).await {
        in_progress(&reply);
    }
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    fixture.release("g").await;
    first
        .await
        .expect("the first request is answered")
        .assert_executed(201);
    for reply in others.join_all().await {
        reply.assert_executed(201);
    }
    assert_eq!(fixture.count("/gate/g").await, 5);
}

async fn con_15_two_principals_do_not_meet(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture.post("/gate/g").key(fresh_key()).body("x");
    let alice = tokio::spawn(call.clone().bearer("alice").send());
    let bob = tokio::spawn(call.clone().bearer("bob").send());
    fixture.at_gate("g", 2).await;
    fixture.release("g").await;
    let alice = alice.await.expect("alice is answered");
    let bob = bob.await.expect("bob is answered");
    for reply in [&alice, &bob] {
        reply.assert_executed(201);
        assert!(reply.is_stored());
    }
    assert_ne!(alice.body, bob.body, "each has an answer of their own");
    call.clone()
        .bearer("alice")
        .send()
        .await
        .assert_replay_of(&alice);
    call.bearer("bob").send().await.assert_replay_of(&bob);
}

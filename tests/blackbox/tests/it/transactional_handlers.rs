//! TX: what handlers do with the transaction that the layer hands out.

use blackbox::{Fixture, StoreKind, eventually, scenarios};
use serde_json::json;

scenarios! {
    pooled;
    [sqlite, postgres]
        a_refusal_of_the_handlers_is_kept_with_what_it_wrote,
        an_answer_that_is_not_kept_undoes_what_was_written,
        an_answer_that_is_not_final_undoes_what_was_written,
        a_panic_undoes_what_was_written,
        a_handler_that_commits_by_itself_runs_once,
        a_transaction_that_is_not_given_back_is_not_committed,
        a_second_extraction_is_refused,
        a_request_without_a_key_has_no_transaction,
        a_key_has_only_so_many_attempts;

    [postgres]
        a_refusal_after_a_statement_that_failed_is_kept,
        steps_stay_when_the_transaction_does_not,
        a_server_killed_between_two_steps_leaves_the_first,
        duplicates_that_wait_hold_no_connection
}

async fn start(kind: StoreKind, arguments: &[&str]) -> Fixture {
    let arguments = [&["--transactional"], arguments].concat();
    Fixture::start(kind, &arguments).await
}

async fn a_refusal_of_the_handlers_is_kept_with_what_it_wrote(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?status=422").key("k");
    let first = call.clone().send().await;
    first.assert_executed(422);
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_eq!(fixture.effects().await, ["k"]);
    assert_eq!(fixture.count("/tx").await, 1);
}

/// A handler inserts, meets a unique violation, say, and answers 409: nothing can be committed in
/// that transaction any more, and nothing has to be.
async fn a_refusal_after_a_statement_that_failed_is_kept(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?violate=1&status=409").key("k");
    let first = call.clone().send().await;
    first.assert_executed(409);
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_eq!(fixture.effects().await.len(), 0);
    assert_eq!(fixture.count("/tx").await, 1);

    // Success after such a statement is an error of the handler's: nothing was written.
    let call = fixture.post("/tx?violate=1&once=1").key("other");
    let refused = call.clone().send().await;
    refused.assert_problem(503, "TRANSACTION_ROLLED_BACK");
    assert!(call.send().await.is_stored());
    assert_eq!(fixture.effects().await, ["other"]);
}

async fn an_answer_that_is_not_kept_undoes_what_was_written(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    for (status, left) in [(401, 0), (503, 1)] {
        let path = format!("/tx?status={status}");
        let call = fixture.post(&path).key(format!("k-{status}"));
        for _ in 0..2 {
            let reply = call.clone().send().await;
            assert_eq!((reply.status, reply.is_stored()), (status, false));
        }
        assert_eq!(fixture.effects().await.len(), 0, "{status}");
        assert_eq!(fixture.rows().await.len(), left, "{status}");
    }
    let row = &fixture.rows().await[0];
    assert_eq!(
        (&row["state"], &row["attempt"]),
        (&json!("failed"), &json!(2))
    );
    assert_eq!(fixture.count("/tx").await, 4);
    // The wish wins over the policy.
    let reply = fixture.post("/tx?wish=do_not_store").key("k").send().await;
    assert_eq!((reply.status, reply.is_stored()), (201, false));
    assert_eq!(fixture.effects().await.len(), 0);
}

/// So it may be asked for any number of times before the one that counts.
async fn an_answer_that_is_not_final_undoes_what_was_written(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    for _ in 0..2 {
        let question = fixture.post("/tx?wish=not_final").key("k").send().await;
        assert_eq!((question.status, question.is_stored()), (201, false));
        assert_eq!(fixture.effects().await.len(), 0);
        assert!(fixture.rows().await.is_empty());
    }
    let call = fixture.post("/tx").key("k");
    let first = call.clone().send().await;
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
    assert_eq!(fixture.effects().await, ["k"]);
    assert_eq!(fixture.count("/tx").await, 3);
}

async fn a_panic_undoes_what_was_written(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?panic=1&once=1").key("k");
    call.clone()
        .send()
        .await
        .assert_problem(500, "HANDLER_PANICKED");
    assert_eq!(fixture.effects().await.len(), 0);
    assert!(call.clone().send().await.is_stored());
    assert!(call.send().await.is_replay());
    assert_eq!(fixture.effects().await, ["k"]);
}

/// The effect is durable and cannot be taken back, so the key must not be free.
async fn a_handler_that_commits_by_itself_runs_once(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/tx?commit_itself=1").key("k");
    let first = call.clone().send().await;
    assert!(first.is_stored(), "{} {}", first.status, first.text());
    call.send().await.assert_replay_of(&first);
    assert_eq!(fixture.effects().await, ["k"]);
    assert_eq!(fixture.completed().await, 1);
    let told = "a handler ended its transaction by itself";
    eventually(|| async { fixture.logs().contains(told) }).await;
    // The connection is as good as before.
    for _ in 0..20 {
        assert!(
            fixture
                .post("/tx")
                .key(blackbox::fresh_key())
                .send()
                .await
                .is_stored()
        );
    }
}

async fn a_transaction_that_is_not_given_back_is_not_committed(kind: StoreKind) {
    let flags = ["--lease-ms", "3000", "--operation-timeout-ms", "1000"];
    let fixture = start(kind, &flags).await;
    let call = fixture.post("/tx?keep_tx=1&once=1").key("k");
    let refused = call.clone().send().await;
    refused.assert_problem(503, "TRANSACTION_ROLLED_BACK");
    assert!(fixture.effects().await.is_empty());
    assert_eq!(fixture.completed().await, 0);
    // As long as somebody could write in it, nobody else may.
    let duplicate = call.clone().send().await;
    duplicate.assert_problem(409, "REQUEST_IN_PROGRESS");
    fixture.release("kept").await;
    eventually(|| async { call.clone().send().await.is_stored() }).await;
    assert!(call.send().await.is_replay());
    assert_eq!(fixture.effects().await, ["k"]);
}

async fn a_second_extraction_is_refused(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    for attempt in 1..=2 {
        let reply = fixture.post("/tx-twice").key("k").send().await;
        assert_eq!((reply.status, reply.is_stored()), (500, false));
        assert!(reply.text().contains("in use"), "{}", reply.text());
        assert_eq!(fixture.rows().await[0]["attempt"], attempt);
    }
    // And there is none to take where no key was claimed.
    let reply = fixture.post("/tx-twice").send().await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("no transaction"), "{}", reply.text());
}

async fn a_request_without_a_key_has_no_transaction(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    for effects in 1..=2 {
        let reply = fixture.post("/tx").send().await;
        reply.assert_executed(201);
        assert!(!reply.is_stored());
        assert_eq!(fixture.effects().await.len(), effects);
    }
    assert!(fixture.rows().await.is_empty());
}

async fn a_key_has_only_so_many_attempts(kind: StoreKind) {
    let fixture = start(kind, &["--max-attempts", "2"]).await;
    let call = fixture.post("/tx?fail=1").key("k");
    for _ in 0..2 {
        call.clone().send().await.assert_executed(500);
    }
    call.clone()
        .send()
        .await
        .assert_problem(409, "ATTEMPTS_EXHAUSTED");
    assert_eq!(
        fixture.resolve(&fixture.rows().await[0], Some(200)).await,
        "Applied"
    );
    let answer = call.send().await;
    assert_eq!((answer.status, answer.is_replay()), (200, true));
    assert_eq!(fixture.effects().await.len(), 0);
    assert_eq!(fixture.count("/tx").await, 2);
}

/// How often a row was written.
fn times(effects: &[String], note: &str) -> usize {
    effects
        .iter()
        .filter(|effect| effect.starts_with(note))
        .count()
}

async fn steps_stay_when_the_transaction_does_not(kind: StoreKind) {
    let fixture = start(kind, &[]).await;
    let call = fixture.post("/steps?status=503&once=1").key("k");
    let failed = call.clone().send().await;
    assert_eq!((failed.status, failed.is_stored()), (503, false));
    let effects = fixture.effects().await;
    assert_eq!(times(&effects, "transaction"), 0);
    let first = call.clone().send().await;
    assert_eq!((first.status, first.is_stored()), (201, true));
    assert_eq!(
        first.json(),
        failed.json(),
        "the same results and derived keys"
    );
    call.send().await.assert_replay_of(&first);
    let effects = fixture.effects().await;
    for (note, expected) in [
        ("attempt", 2),
        ("step-1", 1),
        ("step-2", 1),
        ("transaction", 1),
    ] {
        assert_eq!(times(&effects, note), expected, "{note}: {effects:?}");
    }
}

async fn a_server_killed_between_two_steps_leaves_the_first(kind: StoreKind) {
    let a = start(kind, &[]).await;
    let b = a.another().args(&["--transactional"]).start().await;
    let running = tokio::spawn(a.post("/steps?gate=g").key("k").try_send());
    a.at_gate("g", 1).await;
    a.kill9();
    assert!(running.await.unwrap().is_err());
    b.release("g").await;
    let call = b.post("/steps?gate=g").key("k");
    eventually(|| async { call.clone().send().await.status != 409 }).await;
    let replay = call.send().await;
    assert_eq!((replay.status, replay.is_replay()), (201, true));
    let mut effects = b.effects().await;
    for (note, expected) in [
        ("attempt", 2),
        ("step-1", 1),
        ("step-2", 1),
        ("transaction", 1),
    ] {
        assert_eq!(times(&effects, note), expected, "{note}: {effects:?}");
    }
    effects.retain(|effect| effect.starts_with("attempt"));
    assert_eq!(effects[0], effects[1], "both attempts derived the same key");
}

/// The running handler has one of two connections; with each waiter holding one, the other key
/// would find none.
async fn duplicates_that_wait_hold_no_connection(kind: StoreKind) {
    let flags = ["--pool-size", "2", "--wait-ms", "15000", "--poll-ms", "50"];
    let a = start(kind, &flags).await;
    let b = a
        .another()
        .args(&["--transactional"])
        .args(&flags)
        .start()
        .await;
    let first = tokio::spawn(a.post("/tx?gate=g").key("k").send());
    a.at_gate("g", 1).await;
    let waiting: tokio::task::JoinSet<_> = [&a, &b]
        .into_iter()
        .flat_map(|fixture| (0..10).map(|_| fixture.post("/tx?gate=g").key("k").send()))
        .collect();
    for fixture in [&a, &b] {
        for _ in 0..5 {
            let other = fixture.post("/tx").key(blackbox::fresh_key()).send().await;
            assert!(other.is_stored(), "{} {}", other.status, other.text());
        }
    }
    a.release("g").await;
    let first = first.await.unwrap();
    assert!(first.is_stored());
    for reply in waiting.join_all().await {
        reply.assert_replay_of(&first);
    }
    assert_eq!(a.count("/tx").await + b.count("/tx").await, 11);
}

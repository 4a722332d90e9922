//! TX: two transactions that meet in the handler's own tables.

use blackbox::{Call, Fixture, Reply, StoreKind, eventually, scenarios};

scenarios! {
    pooled;
    [postgres]
        transactions_that_meet_in_their_commits_are_run_again_if_asked_for,
        of_transactions_that_meet_in_their_commits_one_is_told_to_come_again,
        transactions_that_meet_in_a_statement_are_run_again_if_asked_for,
        of_transactions_that_meet_in_a_statement_one_gets_the_handlers_failure,
        conflicts_are_run_again_only_so_often
}

async fn start(kind: StoreKind, isolation: &str, arguments: &[&str]) -> Fixture {
    let usual = ["--transactional", "--isolation", isolation];
    Fixture::start(kind, &[&usual, arguments].concat()).await
}

/// Sends two requests, and lets them go on when both have come to their gate.
async fn both(fixture: &Fixture, calls: [Call; 2]) -> [Reply; 2] {
    let [one, other] = calls.map(|call| tokio::spawn(call.send()));
    fixture.at_gate("g", 2).await;
    fixture.release("g").await;
    [one.await.unwrap(), other.await.unwrap()]
}

/// Each reads the rows of both and writes its own: they can follow each other in no order.
fn skewed(fixture: &Fixture) -> [Call; 2] {
    ["a", "b"].map(|row| {
        let path = format!("/tx?serialize={row}&gate=g");
        fixture.post(&path).key(format!("k-{row}"))
    })
}

/// Both read, and then both write the same row.
fn crossed(fixture: &Fixture) -> [Call; 2] {
    ["a", "b"].map(|key| {
        let call = fixture.post("/tx?serialize=row&gate_read=g");
        call.key(format!("k-{key}"))
    })
}

/// Asserts that each has one effect, and gives its answer to whoever asks again.
async fn assert_done(fixture: &Fixture, calls: [Call; 2]) {
    for call in calls {
        let reply = call.send().await;
        assert_eq!((reply.status, reply.is_replay()), (201, true));
    }
    let mut effects = fixture.effects().await;
    effects.sort_unstable();
    assert_eq!(effects, ["k-a", "k-b"]);
    assert_eq!(fixture.completed().await, 2);
}

async fn transactions_that_meet_in_their_commits_are_run_again_if_asked_for(kind: StoreKind) {
    let fixture = start(kind, "serializable", &["--conflict-retries", "5"]).await;
    for reply in both(&fixture, skewed(&fixture)).await {
        reply.assert_executed(201);
        assert!(reply.is_stored());
    }
    assert_done(&fixture, skewed(&fixture)).await;
    assert_eq!(fixture.count("/tx").await, 3, "one of them ran twice");
}

async fn of_transactions_that_meet_in_their_commits_one_is_told_to_come_again(kind: StoreKind) {
    let fixture = start(kind, "serializable", &[]).await;
    let replies = both(&fixture, skewed(&fixture)).await;
    let stored = replies.iter().filter(|reply| reply.is_stored()).count();
    assert_eq!(stored, 1);
    for (reply, call) in replies.into_iter().zip(skewed(&fixture)) {
        if !reply.is_stored() {
            reply.assert_problem(503, "TRANSACTION_ROLLED_BACK");
            assert!(reply.header("retry-after").is_some());
            assert_eq!(fixture.effects().await.len(), 1);
            assert!(call.send().await.is_stored());
        }
    }
    assert_done(&fixture, skewed(&fixture)).await;
}

async fn transactions_that_meet_in_a_statement_are_run_again_if_asked_for(kind: StoreKind) {
    let fixture = start(kind, "repeatable-read", &["--conflict-retries", "5"]).await;
    for reply in both(&fixture, crossed(&fixture)).await {
        reply.assert_executed(201);
        assert!(reply.is_stored());
    }
    assert_done(&fixture, crossed(&fixture)).await;
    assert_eq!(fixture.count("/tx").await, 3, "one of them ran twice");
}

/// The handler has seen the error, and has said what it thinks of it.
async fn of_transactions_that_meet_in_a_statement_one_gets_the_handlers_failure(kind: StoreKind) {
    let fixture = start(kind, "repeatable-read", &[]).await;
    let replies = both(&fixture, crossed(&fixture)).await;
    let mut statuses = replies.map(|reply| (reply.status, reply.is_stored()));
    statuses.sort_unstable();
    assert_eq!(statuses, [(201, true), (502, false)]);
    for call in crossed(&fixture) {
        assert_eq!(call.send().await.status, 201);
    }
    assert_done(&fixture, crossed(&fixture)).await;
}

/// The row is held by a transaction of the test's that changes it again and again.
async fn conflicts_are_run_again_only_so_often(kind: StoreKind) {
    let fixture = start(kind, "repeatable-read", &["--conflict-retries", "2"]).await;
    let mut client = fixture.database().postgres().await;
    let running = tokio::spawn(
        fixture
            .post("/tx?serialize=row&gate_read=g")
            .key("k")
            .send(),
    );
    for run in 1..=3 {
        // The run before may still be on its way out of the gate.
        eventually(|| async { fixture.count("/tx").await == run }).await;
        fixture.at_gate("g", 1).await;
        let change = "INSERT INTO counters (name, n) VALUES ('row', 1) \
                      ON CONFLICT (name) DO UPDATE SET n = counters.n + 1";
        sqlx::raw_sql(change).execute(&mut client).await.unwrap();
        fixture.release("g").await;
        fixture.close("g").await;
    }
    let refused = running.await.unwrap();
    assert_eq!(fixture.count("/tx").await, 3);
    assert_eq!((refused.status, refused.is_stored()), (502, false));
    assert_eq!(fixture.effects().await.len(), 0);
    fixture.release("g").await;
    let call = fixture.post("/tx?serialize=row&gate_read=g").key("k");
    assert!(call.send().await.is_stored());
    assert_eq!(fixture.effects().await, ["k"]);
}

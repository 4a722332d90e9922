//! PROB: our own answers.

use blackbox::{Fixture, Reply, StoreKind, scenarios};
use sqlx::{Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

scenarios! {
    [memory, sqlite, postgres]
        prob_01_every_refusal_is_a_problem_document,
        prob_01_an_unavailable_store_is_one_as_well,
        prob_06_a_key_is_required_for_a_patch_as_well,
        prob_07_a_refusal_looks_the_same_each_time,
        prob_08_our_refusals_and_the_handlers_are_told_apart,
        the_envelope_can_be_had_instead,
        the_documentation_can_be_the_services_own
}

fn assert_document(reply: &Reply, docs: &str) {
    let document = reply.json();
    let code = document["code"].as_str().unwrap();
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(document["status"], reply.status);
    let kind = document["type"].as_str().unwrap();
    assert_eq!(kind, format!("{docs}#{code}"));
    assert!(kind.starts_with("https://"), "{kind}");
    assert!(!document["title"].as_str().unwrap().is_empty());
    assert!(!document["detail"].as_str().unwrap().is_empty());
    let link = reply.header("link").unwrap();
    assert!(
        link.contains(kind) && link.contains("rel=\"describedby\""),
        "{link}"
    );
    assert_eq!(reply.header("content-language"), Some("en"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("set-cookie"), None);
}

/// Each of 400, 403, 409, 413 and 422.
async fn refusals(fixture: &Fixture) -> Vec<Reply> {
    let running = tokio::spawn(fixture.post("/gate/g").key("running").send());
    fixture.at_gate("g", 1).await;
    let refusals = vec![
        fixture.post("/echo").send().await,
        fixture.post("/echo").key("\"broken").send().await,
        fixture.post("/echo").key("k").anonymous().send().await,
        fixture.post("/gate/g").key("running").send().await,
        fixture
            .post("/echo")
            .key("k")
            .body("x".repeat(101))
            .send()
            .await,
        fixture
            .post("/gate/g")
            .key("running")
            .body("other")
            .send()
            .await,
    ];
    fixture.release("g").await;
    assert!(running.await.unwrap().is_stored());
    refusals
}

async fn prob_01_every_refusal_is_a_problem_document(store: StoreKind) {
    let docs = "https://api.example.com/idempotency";
    let arguments = ["--required", "--max-body", "100", "--docs-url", docs];
    let fixture = Fixture::start(store, &arguments).await;
    let refusals = refusals(&fixture).await;
    let statuses: Vec<_> = refusals.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [400, 400, 403, 409, 413, 422]);
    for refusal in &refusals {
        assert_document(refusal, docs);
    }
}

/// In each store's own way: one is full, one is written by somebody else, one is locked.
async fn prob_01_an_unavailable_store_is_one_as_well(store: StoreKind) {
    let docs = "https://api.example.com/idempotency";
    let arguments = ["--docs-url", docs];
    let bound = ["--operation-timeout-ms", "300"];
    let full = ["--max-records", "1"];
    let limits = if store == StoreKind::Memory {
        full
    } else {
        bound
    };
    let fixture = Fixture::start(store, &[arguments, limits].concat()).await;
    let refuse = || fixture.post("/echo").key("k").send();
    let refusal = match store {
        StoreKind::Memory => {
            let running = tokio::spawn(fixture.post("/gate/g").key("running").send());
            fixture.at_gate("g", 1).await;
            let refusal = refuse().await;
            fixture.release("g").await;
            assert!(running.await.unwrap().is_stored());
            refusal
        }
        StoreKind::Sqlite => {
            let options = SqliteConnectOptions::new().filename(fixture.database().file());
            let mut writer = SqliteConnection::connect_with(&options).await.unwrap();
            writer.execute("BEGIN IMMEDIATE").await.unwrap();
            refuse().await
        }
        _ => {
            let mut locker = fixture.database().postgres().await;
            let lock = "BEGIN; LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE";
            locker.execute(sqlx::raw_sql(lock)).await.unwrap();
            refuse().await
        }
    };
    refusal.assert_problem(503, "IDEMPOTENCY_STORE_UNAVAILABLE");
    assert_document(&refusal, docs);
    let seconds: u64 = refusal.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1);
    assert_eq!(fixture.count("/echo").await, 0);
}

async fn prob_06_a_key_is_required_for_a_patch_as_well(store: StoreKind) {
    let fixture = Fixture::start(store, &["--required"]).await;
    let reply = fixture.patch("/echo").body("x").send().await;
    reply.assert_problem(400, "IDEMPOTENCY_KEY_MISSING");
    assert_eq!(fixture.count("/echo").await, 0);
}

async fn prob_07_a_refusal_looks_the_same_each_time(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    assert!(
        fixture
            .post("/echo")
            .key("k")
            .body("a")
            .send()
            .await
            .is_stored()
    );
    let first = fixture.post("/echo").key("k").body("b").send().await;
    let second = fixture.post("/echo").key("k").body("c").send().await;
    assert_eq!(first.body, second.body);
}

async fn prob_08_our_refusals_and_the_handlers_are_told_apart(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for code in [409, 422] {
        let request = fixture.post(&format!("/status/{code}"));
        let reply = request.key(format!("k-{code}")).send().await;
        assert_eq!((reply.status, reply.code().as_str()), (code, ""));
    }
}

async fn the_envelope_can_be_had_instead(store: StoreKind) {
    let fixture = Fixture::start(store, &["--renderer", "envelope"]).await;
    assert!(
        fixture
            .post("/echo")
            .key("k")
            .body("a")
            .send()
            .await
            .is_stored()
    );
    let refused = fixture.post("/echo").key("k").body("b").send().await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["success"], false);
    assert_eq!(refused.json()["error"]["code"], "IDEMPOTENCY_KEY_REUSED");
}

async fn the_documentation_can_be_the_services_own(store: StoreKind) {
    let docs = "https://docs.acme.example/keys";
    let fixture = Fixture::start(store, &["--docs-url", docs, "--required"]).await;
    assert_document(&fixture.post("/echo").send().await, docs);
}

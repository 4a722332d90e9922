//! SCO and SEC: whose key it is, and what nobody gets to see.

use blackbox::{Fixture, StoreKind, eventually, scenarios};

use crate::dump;

scenarios! {
    [memory, sqlite, postgres]
        sco_01_one_caller_never_sees_anothers_answer,
        sco_02_nobodys_key_is_refused,
        sco_02_everybody_is_one_where_the_service_says_so,
        sco_04_a_revoked_caller_gets_no_replay,
        sco_05_a_new_token_of_a_caller_still_finds_the_key,
        sco_08_a_refused_caller_leaves_no_record,
        sec_01_logs_hold_no_key_no_body_and_no_token,
        sec_02_records_hold_no_request;
    [sqlite, postgres]
        sec_02_tables_hold_no_request,
        sco_07_two_namespaces_share_a_table
}

async fn sco_01_one_caller_never_sees_anothers_answer(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let alice = fixture.post("/uuid").key("k").send().await;
    let bob = fixture.post("/uuid").key("k").bearer("bob").send().await;
    assert!(bob.is_stored() && bob.body != alice.body);
    fixture
        .post("/uuid")
        .key("k")
        .send()
        .await
        .assert_replay_of(&alice);
    fixture
        .post("/uuid")
        .key("k")
        .bearer("bob")
        .send()
        .await
        .assert_replay_of(&bob);
}

async fn sco_02_nobodys_key_is_refused(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let reply = fixture.post("/echo").key("k").anonymous().send().await;
    reply.assert_problem(403, "IDEMPOTENCY_SCOPE_MISSING");
    assert_eq!(fixture.count("/echo").await, 0);
    assert!(fixture.rows().await.is_empty());
    fixture
        .post("/echo")
        .anonymous()
        .send()
        .await
        .assert_executed(201);
}

async fn sco_02_everybody_is_one_where_the_service_says_so(store: StoreKind) {
    let fixture = Fixture::start(store, &["--principal", "public"]).await;
    let request = fixture.post("/uuid").key("k");
    let first = request.clone().anonymous().send().await;
    assert!(first.is_stored());
    let retry = request.clone().anonymous().send().await;
    retry.assert_replay_of(&first);
    request.bearer("bob").send().await.assert_replay_of(&first);
    assert_eq!(fixture.count("/uuid").await, 1);
}

async fn sco_04_a_revoked_caller_gets_no_replay(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    assert!(fixture.post("/uuid").key("k").send().await.is_stored());
    fixture.revoke("alice").await;
    let reply = fixture.post("/uuid").key("k").send().await;
    assert_eq!((reply.status, reply.is_replay()), (401, false));
}

async fn sco_05_a_new_token_of_a_caller_still_finds_the_key(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = fixture
        .post("/uuid")
        .key("k")
        .bearer("alice.1")
        .send()
        .await;
    let retry = fixture
        .post("/uuid")
        .key("k")
        .bearer("alice.2")
        .send()
        .await;
    retry.assert_replay_of(&first);
}

async fn sco_07_two_namespaces_share_a_table(store: StoreKind) {
    let billing = Fixture::start(store, &["--namespace", "billing"]).await;
    let shipping = billing.second(&["--namespace", "shipping"]).await;
    let first = billing.post("/uuid").key("k").send().await;
    let other = shipping.post("/uuid").key("k").send().await;
    assert!(other.is_stored() && other.body != first.body);
    billing
        .post("/uuid")
        .key("k")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn sco_08_a_refused_caller_leaves_no_record(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    fixture.revoke("mallory").await;
    let reply = fixture
        .post("/echo")
        .key("k")
        .bearer("mallory")
        .send()
        .await;
    assert_eq!(reply.status, 401);
    assert!(fixture.rows().await.is_empty());
}

/// Things that a log or a table must not hold.
const KEY: &str = "key-3f1c-secret";
const BODY: &str = "body-7a2e-secret";
const TOKEN: &str = "alice.token-91bd-secret";

async fn everything_that_can_happen(fixture: &Fixture) {
    let request = |path: &str| fixture.post(path).bearer(TOKEN).key(KEY).body(BODY);
    let with_cookie = request("/status/201").header("cookie", "cookie-55aa-secret");
    assert_eq!(with_cookie.send().await.status, 201);
    for path in [
        "/status/201",
        "/status/503",
        "/panic",
        "/abort-body",
        "/status/429",
    ] {
        let _ = request(path).try_send().await;
        let _ = request(path).body("other").try_send().await;
    }
    let _ = fixture
        .post("/echo")
        .bearer(TOKEN)
        .key(format!("\"{KEY}"))
        .body(BODY)
        .send()
        .await;
    let _ = fixture
        .post("/echo")
        .bearer(TOKEN)
        .key(KEY)
        .key(KEY)
        .send()
        .await;
}

async fn sec_01_logs_hold_no_key_no_body_and_no_token(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    everything_that_can_happen(&fixture).await;
    // Logs arrive in their order: when this request's line is there, all before it are.
    let _ = fixture.post("/slow?ms=1").send().await;
    eventually(|| async { fixture.logs().contains("path=\"/slow\"") }).await;
    let logs = fixture.logs();
    assert!(
        logs.contains("a handler panicked"),
        "the layer logs:\n{logs}"
    );
    for secret in [KEY, BODY, TOKEN, "cookie-55aa"] {
        assert!(!logs.contains(secret), "{secret} in\n{logs}");
    }
}

async fn sec_02_records_hold_no_request(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    everything_that_can_happen(&fixture).await;
    let rows = fixture.rows().await;
    assert!(!rows.is_empty());
    let rows = format!("{rows:?}");
    for secret in [BODY, TOKEN, "cookie-55aa"] {
        assert!(!rows.contains(secret), "{secret} in {rows}");
    }
}

/// The tables themselves, whatever the store's own tools would show of them.
async fn sec_02_tables_hold_no_request(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    everything_that_can_happen(&fixture).await;
    let kept = fixture.post("/uuid").key("kept").send().await;
    let dump = dump::of(fixture.database()).await;
    // What is there is found, as text and as bytes.
    assert!(dump::holds(&dump, KEY.as_bytes()) && dump::holds(&dump, &kept.body));
    for secret in [BODY, TOKEN, "cookie-55aa"] {
        assert!(!dump::holds(&dump, secret.as_bytes()), "{secret} in {dump}");
    }
}

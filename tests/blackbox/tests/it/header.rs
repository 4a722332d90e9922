//! HDR: which bytes are a key.

use blackbox::{Fixture, StoreKind, raw, scenarios};
use http::Method;

scenarios! {
    [memory, sqlite, postgres]
        hdr_01_the_lenient_column_of_the_header_table_holds,
        hdr_18_the_strict_column_of_the_header_table_holds,
        hdr_02_quoted_and_bare_are_one_key,
        hdr_03_different_characters_are_different_keys,
        hdr_04_a_missing_key_is_refused_where_it_is_required,
        hdr_06_two_lines_are_refused,
        hdr_10_255_bytes_are_a_key_and_256_are_not,
        hdr_15_what_the_server_refuses_harms_nobody,
        hdr_17_the_field_name_has_no_case,
        hdr_20_sql_in_a_key_is_only_a_key,
        hdr_21_an_encoded_line_break_stays_encoded,
        hdr_22_another_header_can_be_the_key,
        hdr_23_an_underscore_is_another_field,
        hdr_24_a_key_on_an_uncovered_route_does_nothing
}

/// What becomes of a header's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// A key.
    Key,
    /// 400 of ours.
    Invalid,
    /// 400 of the server's, before us.
    Server,
}
use Fate::{Invalid, Key, Server};

/// The bytes behind `Idempotency-Key: `, and what they are in the strict and lenient syntax.
#[expect(clippy::too_many_lines, reason = "a table has a line for each row")]
fn table() -> Vec<(Vec<u8>, Fate, Fate)> {
    let long = |n| "k".repeat(n);
    let quoted = |text: &str| format!("\"{text}\"");
    let rows: Vec<(Vec<u8>, Fate, Fate)> = vec![
        (
            b"\"8e03978e-40d5-43e8-bc93-6894a57f9325\"".to_vec(),
            Key,
            Key,
        ),
        (
            b"8e03978e-40d5-43e8-bc93-6894a57f9324".to_vec(),
            Invalid,
            Key,
        ),
        (
            b"f4c1f0aa-40d5-43e8-bc93-6894a57f9324".to_vec(),
            Invalid,
            Key,
        ),
        (b"clkyoesmbgybucifusbbtdsbohtyuuwz".to_vec(), Invalid, Key),
        (b"12345".to_vec(), Invalid, Key),
        (b"1.5".to_vec(), Invalid, Key),
        (b"01J9ZQ3W8Y6V4T2R0PNMKJHGFE".to_vec(), Invalid, Key),
        (b"c29tZS1rZXk=".to_vec(), Invalid, Key),
        (b"order:123/charge:9".to_vec(), Invalid, Key),
        (b"".to_vec(), Invalid, Invalid),
        (b"   ".to_vec(), Invalid, Invalid),
        (b"\"\"".to_vec(), Invalid, Invalid),
        (b"\" \"".to_vec(), Invalid, Invalid),
        (b"\"a b\"".to_vec(), Key, Key),
        (b"a b".to_vec(), Invalid, Invalid),
        (b" \t\"k-1\" \t".to_vec(), Key, Key),
        (b"\"a\\\"b\"".to_vec(), Key, Key),
        (b"\"a\\\\b\"".to_vec(), Key, Key),
        (b"\"a\\nb\"".to_vec(), Invalid, Invalid),
        (b"\"abc".to_vec(), Invalid, Invalid),
        (b"abc\"".to_vec(), Invalid, Invalid),
        (b"\"abc\\\"".to_vec(), Invalid, Invalid),
        (b"'abc'".to_vec(), Invalid, Key),
        (b"\"abc\"def".to_vec(), Invalid, Invalid),
        (b"\"abcp\";v=1".to_vec(), Key, Key),
        (b"abc;v=1".to_vec(), Invalid, Invalid),
        (b"\"abc\";V=1".to_vec(), Invalid, Invalid),
        (b"\"a\", \"b\"".to_vec(), Invalid, Invalid),
        (b"abc, abc".to_vec(), Invalid, Invalid),
        (b"\"a,b\"".to_vec(), Key, Key),
        (b"\"cl\xc3\xa9\"".to_vec(), Invalid, Invalid),
        (b"cl\xc3\xa9".to_vec(), Invalid, Invalid),
        (b"\"cl\xe9\"".to_vec(), Invalid, Invalid),
        ("“abc”".as_bytes().to_vec(), Invalid, Invalid),
        (b"%\"cl%c3%a9\"".to_vec(), Invalid, Invalid),
        (b":aGVsbG8=:".to_vec(), Invalid, Key),
        (b"?1".to_vec(), Invalid, Key),
        (b"@1659578233".to_vec(), Invalid, Key),
        (b"(\"a\" \"b\")".to_vec(), Invalid, Invalid),
        (b"\"a\tb\"".to_vec(), Invalid, Invalid),
        (b"a\tb".to_vec(), Invalid, Invalid),
        (b"\"a\0b\"".to_vec(), Server, Server),
        (b"\"a\x7fb\"".to_vec(), Server, Server),
        (b"a\x1bb".to_vec(), Server, Server),
        (b"\"a\nb\"".to_vec(), Server, Server),
        (b"\"a\rb\"".to_vec(), Server, Server),
        (b"\"a\r\n b\"".to_vec(), Server, Server),
        (b"\"a\"\r\nX-Injected: 1".to_vec(), Key, Key),
        (b"\"a%0d%0ab\"".to_vec(), Key, Key),
        (b"\"x'; drop table idempotency_keys;--\"".to_vec(), Key, Key),
        (
            b"{8e03978e-40d5-43e8-bc93-6894a57f9324}".to_vec(),
            Invalid,
            Key,
        ),
        (
            b"urn:uuid:8e03978e-40d5-43e8-bc93-6894a57f9324".to_vec(),
            Invalid,
            Key,
        ),
        (
            b"\"8E03978E-40D5-43E8-BC93-6894A57F9324\"".to_vec(),
            Key,
            Key,
        ),
        (b"\"\\\"abc\\\"\"".to_vec(), Key, Key),
        (b"null".to_vec(), Invalid, Key),
        (b"undefined".to_vec(), Invalid, Key),
        (b"[object Object]".to_vec(), Invalid, Invalid),
        (long(255).into_bytes(), Invalid, Key),
        (quoted(&"q".repeat(255)).into_bytes(), Key, Key),
        (long(256).into_bytes(), Invalid, Invalid),
        (quoted(&long(256)).into_bytes(), Invalid, Invalid),
        (quoted(&"\\\"".repeat(200)).into_bytes(), Key, Key),
        (long(8 * 1024).into_bytes(), Invalid, Invalid),
        (long(500 * 1024).into_bytes(), Invalid, Invalid),
    ];
    rows
}

/// Sends every row twice and compares what becomes of it.
async fn check(fixture: &Fixture, fate: impl Fn(&(Vec<u8>, Fate, Fate)) -> Fate) {
    for row in table() {
        let line = [b"Idempotency-Key: ".as_slice(), &row.0].concat();
        let request = raw::post("/echo", &[line, b"\r\n".to_vec()].concat(), b"body");
        let shown = String::from_utf8_lossy(&row.0[..row.0.len().min(60)]).into_owned();
        let ran = fixture.count("/echo").await;
        let first = raw::exchange(fixture.addr(), &request).await;
        let text = String::from_utf8_lossy(&first).into_owned();
        let runs = fixture.count("/echo").await - ran;
        match fate(&row) {
            Key => {
                assert_eq!((status(&first), runs), (201, 1), "{shown}: {text}");
                let retry = raw::exchange(fixture.addr(), &request).await;
                let retry = String::from_utf8_lossy(&retry).to_lowercase();
                assert!(
                    retry.contains("x-idempotency-replay: true"),
                    "{shown}: {retry}"
                );
            }
            Invalid => {
                assert_eq!((status(&first), runs), (400, 0), "{shown}: {text}");
                assert!(text.contains("IDEMPOTENCY_KEY_INVALID"), "{shown}: {text}");
            }
            Server => {
                assert_eq!((status(&first), runs), (400, 0), "{shown}: {text}");
                assert!(!text.contains("IDEMPOTENCY"), "{shown}: {text}");
            }
        }
    }
}

async fn hdr_01_the_lenient_column_of_the_header_table_holds(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    check(&fixture, |row| row.2).await;
    let keys = table().iter().filter(|row| row.2 == Key).count();
    assert_eq!(fixture.rows().await.len(), keys);
}

async fn hdr_18_the_strict_column_of_the_header_table_holds(store: StoreKind) {
    let fixture = Fixture::start(store, &["--strict"]).await;
    check(&fixture, |row| row.1).await;
}

async fn hdr_02_quoted_and_bare_are_one_key(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = fixture.post("/uuid").key("k").send().await;
    fixture
        .post("/uuid")
        .key("\"k\"")
        .send()
        .await
        .assert_replay_of(&first);
}

async fn hdr_03_different_characters_are_different_keys(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for key in ["\"a\\\"b\"", "a'b", "A'B"] {
        assert!(fixture.post("/echo").key(key).send().await.is_stored());
    }
    assert_eq!(fixture.count("/echo").await, 3);
}

async fn hdr_04_a_missing_key_is_refused_where_it_is_required(store: StoreKind) {
    let fixture = Fixture::start(store, &["--required"]).await;
    for method in [Method::POST, Method::PATCH] {
        let reply = fixture.request(method, "/echo").body("x").send().await;
        reply.assert_problem(400, "IDEMPOTENCY_KEY_MISSING");
        assert!(
            reply
                .header("link")
                .unwrap()
                .contains("rel=\"describedby\"")
        );
    }
    assert_eq!(fixture.count("/echo").await, 0);
}

async fn hdr_06_two_lines_are_refused(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    for (first, second) in [("abc", "def"), ("abc", "abc"), ("\"abc", "def\"")] {
        let reply = fixture.post("/echo").key(first).key(second).send().await;
        reply.assert_problem(400, "IDEMPOTENCY_KEY_INVALID");
    }
    assert_eq!(fixture.count("/echo").await, 0);
    assert!(fixture.rows().await.is_empty());
}

async fn hdr_10_255_bytes_are_a_key_and_256_are_not(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    assert!(
        fixture
            .post("/echo")
            .key("k".repeat(255))
            .send()
            .await
            .is_stored()
    );
    let reply = fixture.post("/echo").key("k".repeat(256)).send().await;
    reply.assert_problem(400, "IDEMPOTENCY_KEY_INVALID");
}

async fn hdr_15_what_the_server_refuses_harms_nobody(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let request = raw::post("/echo", b"Idempotency-Key : k\r\n", b"");
    assert_eq!(status(&raw::exchange(fixture.addr(), &request).await), 400);
    assert_eq!(fixture.post("/echo").key("k").send().await.status, 201);
}

async fn hdr_17_the_field_name_has_no_case(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let first = fixture.post("/uuid").key("k").send().await;
    for name in ["iDeMpOtEnCy-KeY", "IDEMPOTENCY-KEY"] {
        let line = format!("{name}: k\r\n");
        let request = raw::post("/uuid", line.as_bytes(), b"");
        let reply = raw::exchange(fixture.addr(), &request).await;
        assert!(String::from_utf8_lossy(&reply).contains(&first.text()));
    }
}

async fn hdr_20_sql_in_a_key_is_only_a_key(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let key = "\"x'; drop table idempotency_keys;--\"";
    let first = fixture.post("/uuid").key(key).send().await;
    fixture
        .post("/uuid")
        .key(key)
        .send()
        .await
        .assert_replay_of(&first);
    assert_eq!(fixture.rows().await.len(), 1);
}

async fn hdr_21_an_encoded_line_break_stays_encoded(store: StoreKind) {
    let fixture = Fixture::start(store, &[]).await;
    let reply = fixture.post("/inspect").key("\"a%0d%0ab\"").send().await;
    assert_eq!(reply.json()["key"], "a%0d%0ab");
    let values = reply.headers.values();
    assert!(
        values
            .into_iter()
            .all(|value| !value.as_bytes().contains(&b'\n'))
    );
}

async fn hdr_22_another_header_can_be_the_key(store: StoreKind) {
    let fixture = Fixture::start(store, &["--key-header", "X-Idempotency-Key"]).await;
    assert!(!fixture.post("/echo").key("k").send().await.is_stored());
    let request = fixture.post("/echo").header("x-idempotency-key", "k");
    assert!(request.clone().send().await.is_stored());
    assert!(request.send().await.is_replay());
}

async fn hdr_23_an_underscore_is_another_field(store: StoreKind) {
    let fixture = Fixture::start(store, &["--required"]).await;
    let reply = fixture
        .post("/echo")
        .header("idempotency_key", "k")
        .send()
        .await;
    reply.assert_problem(400, "IDEMPOTENCY_KEY_MISSING");
}

async fn hdr_24_a_key_on_an_uncovered_route_does_nothing(store: StoreKind) {
    let fixture = Fixture::start(store, &["--required"]).await;
    for run in 1..=2 {
        let reply = fixture.post("/unprotected").key("k").send().await;
        reply.assert_executed(201);
        assert_eq!(fixture.count("/unprotected").await, run);
    }
    assert!(fixture.rows().await.is_empty());
}

/// The status of a raw response, or 0.
fn status(response: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(response);
    let status = text.split(' ').nth(1);
    status
        .and_then(|status| status.parse().ok())
        .unwrap_or_default()
}

//! Which bytes of the header are a key (HDR).

use blackbox::{Fixture, Reply, StoreKind, fresh_key, raw, scenarios};
use http::{HeaderValue, Method};
use sqlx::Executor;

use Fate::{Invalid, Key, Server};

scenarios! {
    [memory, sqlite, postgres]
    hdr_01_the_lenient_column_of_the_header_table_holds,
    hdr_01_the_header_table_holds_over_http2,
    hdr_02_a_bare_and_a_quoted_key_are_one,
    hdr_03_other_characters_are_another_key,
    hdr_04_a_missing_key_is_refused_where_it_is_required,
    hdr_05_an_empty_key_is_invalid_and_not_missing,
    hdr_06_two_different_lines_are_refused,
    hdr_07_two_identical_lines_are_refused,
    hdr_09_a_joined_duplicate_is_refused_and_a_quoted_comma_is_not,
    hdr_10_the_length_is_counted_without_escapes,
    hdr_15_after_bytes_that_are_no_http_the_next_request_is_served,
    hdr_17_the_name_of_the_field_has_no_case,
    hdr_18_the_strict_column_of_the_header_table_holds,
    hdr_20_sql_in_a_key_is_text,
    hdr_21_an_encoded_line_break_comes_back_in_no_header,
    hdr_22_another_name_replaces_the_default_one,
    hdr_23_a_name_with_an_underscore_is_another_field,
    hdr_23_a_key_in_a_trailer_is_no_key,
    hdr_24_a_key_on_an_unprotected_route_changes_nothing;

    [postgres]
    hdr_12_an_invalid_key_is_refused_without_asking_the_store;
}

/// What becomes of a header line.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The handler runs with this key.
    Key(&'static str),
    /// The handler runs with this key, so many bytes long.
    Long(&'static str, usize),
    /// The layer refuses it.
    Invalid,
    /// The server refuses it; it never reaches the layer.
    Server,
}

/// One row of the table: its number, the bytes behind the colon, its fate in strict and in
/// lenient syntax.
struct Row {
    number: &'static str,
    value: Vec<u8>,
    strict: Fate,
    lenient: Fate,
}

/// A row that is a key in lenient syntax only.
fn bare(number: &'static str, key: &'static str) -> Row {
    row(number, key, Invalid, Key(key))
}

/// A row with the same fate in both syntaxes.
fn both(number: &'static str, value: impl AsRef<[u8]>, fate: Fate) -> Row {
    row(number, value, fate, fate)
}

fn row(number: &'static str, value: impl AsRef<[u8]>, strict: Fate, lenient: Fate) -> Row {
    Row {
        number,
        value: value.as_ref().to_vec(),
        strict,
        lenient,
    }
}

const UUID: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
const UPPER: &str = "8E03978E-40D5-43E8-BC93-6894A57F9324";

/// The rows whose subject is the value of one or more header lines.
fn table() -> Vec<Row> {
    let mut rows = ordinary_rows();
    rows.extend(odd_rows());
    rows.extend(foreign_rows());
    rows.extend(long_rows());
    rows
}

fn ordinary_rows() -> Vec<Row> {
    vec![
        both("2", format!("\"{UUID}\""), Key(UUID)),
        bare("3", UUID),
        bare("4", "f4c1f0aa-40d5-43e8-bc93-6894a57f9324"),
        bare("5", "clkyoesmbgybucifusbbtdsbohtyuuwz"),
        bare("6", "12345"),
        bare("7", "1.5"),
        bare("8", "01J9ZQ3W8Y6V4T2R0PNMKJHGFE"),
        bare("9", "c29tZS1rZXk="),
        bare("10", "order:123/charge:9"),
        both("11", "", Invalid),
        both("12", "   ", Invalid),
        both("13", "\"\"", Invalid),
        both("14", "\" \"", Invalid),
        both("15", "\"a b\"", Key("a b")),
        both("16", "a b", Invalid),
        both("17", " \t\"k-1\" \t", Key("k-1")),
        both("18", r#""a\"b""#, Key(r#"a"b"#)),
        both("19", r#""a\\b""#, Key(r"a\b")),
        both("20", r#""a\nb""#, Invalid),
        both("21", "\"abc", Invalid),
        both("22", "abc\"", Invalid),
        both("23", r#""abc\""#, Invalid),
        bare("24", "'abc'"),
        both("25", "\"abc\"def", Invalid),
        both("26", "\"abc\";v=1", Key("abc")),
        both("27", "abc;v=1", Invalid),
        both("28", "\"abc\";V=1", Invalid),
        both("29", "\"a\", \"b\"", Invalid),
        both("30", "abc, abc", Invalid),
        both("31", "\"a,b\"", Key("a,b")),
    ]
}

/// Other lines, other alphabets, control characters.
fn odd_rows() -> Vec<Row> {
    vec![
        both("32", "\"abc\"\r\nIdempotency-Key: \"abc\"", Invalid),
        both("33", "\"abc\"\r\nIdempotency-Key: \"def\"", Invalid),
        both("34", "\"abc\r\nIdempotency-Key: def\"", Invalid),
        both("35", "\"clé\"", Invalid),
        both("36", "clé", Invalid),
        both("37", b"\"cl\xe9\"", Invalid),
        both("38", "“abc”", Invalid),
        both("44", "\"a\tb\"", Invalid),
        both("45", "a\tb", Invalid),
        both("46", "\"a\0b\"", Server),
        both("47", "\"a\x7fb\"", Server),
        both("48", "a\x1bb", Server),
        both("49", "\"a\nb\"", Server),
        both("50", "\"a\rb\"", Server),
        both("51", "\"a\r\n b\"", Server),
        both("52", "\"a\"\r\nX-Injected: 1", Key("a")),
    ]
}

/// Other structured fields, and what clients send by mistake.
fn foreign_rows() -> Vec<Row> {
    vec![
        both("39", "%\"cl%c3%a9\"", Invalid),
        bare("40", ":aGVsbG8=:"),
        bare("41", "?1"),
        bare("42", "@1659578233"),
        both("43", "(\"a\" \"b\")", Invalid),
        both("53", "\"a%0d%0ab\"", Key("a%0d%0ab")),
        both(
            "54",
            "\"x'; drop table idempotency_keys;--\"",
            Key("x'; drop table idempotency_keys;--"),
        ),
        bare("55", "{8e03978e-40d5-43e8-bc93-6894a57f9324}"),
        bare("56", "urn:uuid:8e03978e-40d5-43e8-bc93-6894a57f9324"),
        both("57", format!("\"{UPPER}\""), Key(UPPER)),
        both("58", r#""\"abc\"""#, Key("\"abc\"")),
        bare("59", "null"),
        bare("59", "undefined"),
        both("60", "[object Object]", Invalid),
    ]
}

fn long_rows() -> Vec<Row> {
    let k = |count| "k".repeat(count);
    let quoted = |count| format!("\"{}\"", "k".repeat(count));
    vec![
        row("61 bare", k(255), Invalid, Fate::Long("k", 255)),
        both("61 quoted", quoted(255), Fate::Long("k", 255)),
        both("62 bare", k(256), Invalid),
        both("62 quoted", quoted(256), Invalid),
        both(
            "63",
            format!("\"{}\"", "\\\"".repeat(200)),
            Fate::Long("\"", 200),
        ),
        both("64", k(8 * 1024), Invalid),
        both("65", k(500 * 1024), Invalid),
    ]
}

/// Sends every row on a connection of its own, as a caller of its own.
async fn check(fixture: &Fixture, is_strict: bool) {
    let mut keys = 0;
    for (index, row) in table().iter().enumerate() {
        let fate = if is_strict { row.strict } else { row.lenient };
        let caller = format!("caller-{index}");
        let mut head = b"Idempotency-Key: ".to_vec();
        head.extend_from_slice(&row.value);
        head.extend_from_slice(b"\r\n");
        let request = raw::post_as(&caller, "/inspect", &head, b"body");
        let number = row.number;
        let before = fixture.count("/inspect").await;
        let first = sole_answer(fixture, &request).await;
        let runs = fixture.count("/inspect").await - before;
        match fate {
            Key(_) | Fate::Long(..) => {
                keys += 1;
                assert_eq!((first.status, runs), (201, 1), "row {number}: {first:?}");
                assert_is(&first.body, fate, number);
                let retry = sole_answer(fixture, &request).await;
                let mark = retry.header("x-idempotency-replay");
                assert_eq!(mark, Some(&b"true"[..]), "row {number}: {retry:?}");
                assert_eq!(retry.body, first.body, "row {number}");
                assert_eq!(fixture.count("/inspect").await, before + 1, "row {number}");
            }
            Invalid => {
                assert_eq!((first.status, runs), (400, 0), "row {number}: {first:?}");
                assert_eq!(first.code(), "IDEMPOTENCY_KEY_INVALID", "row {number}");
                let content_type = first.header("content-type");
                assert_eq!(content_type, Some(&b"application/problem+json"[..]));
            }
            Server => {
                assert_eq!((first.status, runs), (400, 0), "row {number}: {first:?}");
                assert_eq!(first.code(), "", "row {number}");
            }
        }
    }
    assert_eq!(fixture.rows().await.len(), keys, "only keys leave records");
}

async fn sole_answer(fixture: &Fixture, request: &[u8]) -> raw::Answer {
    let bytes = raw::exchange(fixture.addr(), request).await;
    let mut answers = raw::Answer::all(&bytes);
    assert_eq!(answers.len(), 1, "{}", String::from_utf8_lossy(&bytes));
    answers.remove(0)
}

/// Asserts that the handler has seen the key of this fate.
fn assert_is(body: &[u8], fate: Fate, number: &str) {
    let seen: serde_json::Value = serde_json::from_slice(body).expect("/inspect answers in JSON");
    let expected = match fate {
        Key(key) => key.to_owned(),
        Fate::Long(character, count) => character.repeat(count),
        Invalid | Server => panic!("row {number} has no key"),
    };
    assert_eq!(seen["key"], expected, "row {number}");
}

async fn hdr_01_the_lenient_column_of_the_header_table_holds(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    check(&fixture, false).await;
}

async fn hdr_18_the_strict_column_of_the_header_table_holds(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--strict"]).await;
    check(&fixture, true).await;
}

/// HTTP/2 has no lines and no white space around values, so rows about those are left out;
/// the longest row does not fit into its head.
async fn hdr_01_the_header_table_holds_over_http2(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let connection = fixture.h2().await;
    for (index, row) in table().iter().enumerate() {
        let is_trimmed = row.value.trim_ascii() == row.value;
        if HeaderValue::from_bytes(&row.value).is_err() || !is_trimmed || row.number == "65" {
            continue;
        }
        let call = connection
            .post("/inspect")
            .bearer(&format!("caller-{index}"));
        let reply = call.key(&row.value).send().await;
        match row.lenient {
            Key(_) | Fate::Long(..) => {
                reply.assert_executed(201);
                assert_is(&reply.body, row.lenient, row.number);
            }
            Invalid => invalid(&reply),
            Server => panic!("row {} is no header value", row.number),
        }
    }
}

#[track_caller]
fn invalid(reply: &Reply) {
    reply.assert_problem(400, "IDEMPOTENCY_KEY_INVALID");
}

async fn hdr_02_a_bare_and_a_quoted_key_are_one(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let key = fresh_key();
    let first = fixture.post("/uuid").key(&key).send().await;
    for same in [format!("\"{key}\""), format!("\"{key}\";v=1")] {
        let retry = fixture.post("/uuid").key(same).send().await;
        retry.assert_replay_of(&first);
    }
}

async fn hdr_03_other_characters_are_another_key(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for key in [r#""a\"b""#, "a'b", "A'b", "\"a b\"", r#""a\\b""#] {
        fixture
            .post("/echo")
            .key(key)
            .send()
            .await
            .assert_executed(201);
    }
    assert_eq!(fixture.count("/echo").await, 5);
}

async fn hdr_04_a_missing_key_is_refused_where_it_is_required(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--required"]).await;
    for method in [Method::POST, Method::PATCH] {
        let reply = fixture.request(method, "/echo").body("x").send().await;
        reply.assert_problem(400, "IDEMPOTENCY_KEY_MISSING");
        let link = reply.header("link").expect("there is a link");
        assert!(link.contains("rel=\"describedby\""), "{link}");
    }
    assert_eq!(fixture.count("/echo").await, 0);
    let reply = fixture.request(Method::PUT, "/echo").send().await;
    reply.assert_executed(201);
}

async fn hdr_05_an_empty_key_is_invalid_and_not_missing(kind: StoreKind) {
    for flags in [&[][..], &["--required"]] {
        let fixture = Fixture::start(kind, flags).await;
        for key in ["", "   ", "\"\"", "\" \""] {
            let head = format!("Idempotency-Key: {key}\r\n");
            let request = raw::post("/echo", head.as_bytes(), b"");
            let answer = sole_answer(&fixture, &request).await;
            assert_eq!(answer.status, 400, "{key:?}");
            assert_eq!(answer.code(), "IDEMPOTENCY_KEY_INVALID", "{key:?}");
        }
        assert_eq!(fixture.count("/echo").await, 0);
        assert!(fixture.rows().await.is_empty());
    }
}

async fn hdr_06_two_different_lines_are_refused(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    invalid(&fixture.post("/echo").key("abc").key("def").send().await);
    // Joined with a comma, these two would be one valid string.
    invalid(&fixture.post("/echo").key("\"abc").key("def\"").send().await);
    assert_eq!(fixture.count("/echo").await, 0);
    assert!(fixture.rows().await.is_empty());
}

async fn hdr_07_two_identical_lines_are_refused(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    invalid(&fixture.post("/echo").key("abc").key("abc").send().await);
    let connection = fixture.h2().await;
    invalid(&connection.post("/echo").key("abc").key("abc").send().await);
    assert_eq!(fixture.count("/echo").await, 0);
    assert!(fixture.rows().await.is_empty());
}

async fn hdr_09_a_joined_duplicate_is_refused_and_a_quoted_comma_is_not(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for joined in ["abc, abc", "abc,abc", "\"abc\", \"abc\"", "abc,"] {
        invalid(&fixture.post("/echo").key(joined).send().await);
    }
    let call = fixture.post("/echo").key("\"a,b\"");
    call.send().await.assert_executed(201);
}

async fn hdr_10_the_length_is_counted_without_escapes(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let escaped = |count| format!("\"{}\"", r"\\".repeat(count));
    for fits in [
        "b".repeat(255),
        format!("\"{}\"", "q".repeat(255)),
        escaped(255),
    ] {
        fixture
            .post("/echo")
            .key(fits)
            .send()
            .await
            .assert_executed(201);
    }
    for exceeds in [
        "b".repeat(256),
        format!("\"{}\"", "q".repeat(256)),
        escaped(256),
    ] {
        invalid(&fixture.post("/echo").key(exceeds).send().await);
    }
    assert_eq!(fixture.count("/echo").await, 3);
}

/// Without its table the store answers every question with an error.
async fn hdr_12_an_invalid_key_is_refused_without_asking_the_store(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let mut postgres = fixture.database().postgres().await;
    let dropped = postgres.execute("DROP TABLE idempotency_keys").await;
    dropped.expect("the table can be dropped");
    let valid = fixture.post("/echo").key("k").send().await;
    valid.assert_problem(503, "IDEMPOTENCY_STORE_UNAVAILABLE");
    for wrong in ["a b".to_owned(), "k".repeat(256), "k".repeat(300 * 1024)] {
        invalid(&fixture.post("/echo").key(wrong).send().await);
    }
    let head = [
        b"Idempotency-Key: ",
        "k".repeat(500 * 1024).as_bytes(),
        b"\r\n",
    ]
    .concat();
    let answer = sole_answer(&fixture, &raw::post("/echo", &head, b"")).await;
    assert_eq!(answer.code(), "IDEMPOTENCY_KEY_INVALID");
    assert_eq!(fixture.count("/echo").await, 0);
}

/// Row 67, and rows 46 to 51 once more: what the server itself refuses harms nobody else.
async fn hdr_15_after_bytes_that_are_no_http_the_next_request_is_served(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    for line in [
        "Idempotency-Key : k",
        "Idempotency-Key: a\0b",
        "Idempotency-Key: a\r\n b",
    ] {
        let request = raw::post("/echo", format!("{line}\r\n").as_bytes(), b"");
        let answer = sole_answer(&fixture, &request).await;
        assert_eq!((answer.status, answer.body.len()), (400, 0), "{line:?}");
        let next = fixture.post("/echo").key(fresh_key()).send().await;
        next.assert_executed(201);
    }
    assert_eq!(fixture.count("/echo").await, 3);
}

/// Row 66.
async fn hdr_17_the_name_of_the_field_has_no_case(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let first = fixture.post("/uuid").key("k").send().await;
    for name in ["iDeMpOtEnCy-KeY", "IDEMPOTENCY-KEY", "idempotency-key"] {
        let request = raw::post("/uuid", format!("{name}: k\r\n").as_bytes(), b"");
        let retry = sole_answer(&fixture, &request).await;
        assert_eq!(retry.body, first.body, "{name}");
        assert!(retry.header("x-idempotency-replay").is_some(), "{name}");
    }
}

async fn hdr_20_sql_in_a_key_is_text(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let keys = [
        "\"x'; drop table idempotency_keys;--\"",
        "\"' OR 1=1 --\"",
        "$1",
        "?1",
        "\"%s{}:k@k\"",
        r#""\\x00""#,
    ];
    for key in keys {
        let first = fixture.post("/uuid").key(key).send().await;
        first.assert_executed(201);
        let retry = fixture.post("/uuid").key(key).send().await;
        retry.assert_replay_of(&first);
    }
    let rows = fixture.rows().await;
    assert_eq!(rows.len(), keys.len());
    assert!(
        rows.iter()
            .any(|row| row["key"] == "x'; drop table idempotency_keys;--")
    );
}

async fn hdr_21_an_encoded_line_break_comes_back_in_no_header(kind: StoreKind) {
    let fixture = Fixture::start(kind, &[]).await;
    let call = fixture
        .post("/inspect")
        .key("\"a%0d%0aX-Injected: 1\"")
        .body("x");
    let first = call.clone().send().await;
    let retry = call.clone().send().await;
    retry.assert_replay_of(&first);
    let mismatch = call.body("y").send().await;
    mismatch.assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    for reply in [first, retry, mismatch] {
        for (name, value) in &reply.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).to_lowercase();
            let is_clean = !["%0d", "\r", "\n", "injected"]
                .iter()
                .any(|bad| value.contains(bad));
            assert!(is_clean && name != "x-injected", "{name}: {value}");
        }
    }
}

async fn hdr_22_another_name_replaces_the_default_one(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--key-header", "X-Idempotency-Key"]).await;
    for _ in 0..2 {
        let reply = fixture.post("/echo").key("k").send().await;
        reply.assert_executed(201);
        assert!(!reply.is_stored());
    }
    let call = fixture.post("/echo").header("x-idempotency-key", "k");
    let first = call.clone().send().await;
    assert!(first.is_stored());
    call.send().await.assert_replay_of(&first);
}

/// Row 68.
async fn hdr_23_a_name_with_an_underscore_is_another_field(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--required"]).await;
    let call = fixture.post("/echo").header("idempotency_key", "k");
    call.send()
        .await
        .assert_problem(400, "IDEMPOTENCY_KEY_MISSING");
    assert_eq!(fixture.count("/echo").await, 0);
}

async fn hdr_23_a_key_in_a_trailer_is_no_key(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--required"]).await;
    let request = b"POST /echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\
        Connection: close\r\nTrailer: Idempotency-Key\r\nTransfer-Encoding: chunked\r\n\r\n\
        1\r\nx\r\n0\r\nIdempotency-Key: k\r\n\r\n";
    let answer = sole_answer(&fixture, request).await;
    assert_eq!(answer.code(), "IDEMPOTENCY_KEY_MISSING");
    assert_eq!(fixture.count("/echo").await, 0);
}

async fn hdr_24_a_key_on_an_unprotected_route_changes_nothing(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--required"]).await;
    for key in ["k", "k", "\"not a key"] {
        let reply = fixture.post("/unprotected").key(key).body("x").send().await;
        reply.assert_executed(201);
        assert!(!reply.is_stored());
    }
    assert_eq!(fixture.count("/unprotected").await, 3);
    assert!(fixture.rows().await.is_empty());
}

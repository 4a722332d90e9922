//! What clients and intermediaries put behind `Idempotency-Key:`, and which key
//! each syntax reads from it.
//!
//! The table belongs to the tests. It lies here, and not in `tests`, so that
//! both the unit tests and the comparison with another parser can include it.

/// One value of the header, after an HTTP/1.1 server has removed the space
/// around it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The number of the row, for the message of a failing test.
    pub(crate) number: u8,
    pub(crate) value: Vec<u8>,
    /// The key that is read, or `None` if the value is refused.
    pub(crate) strict: Option<String>,
    pub(crate) lenient: Option<String>,
}

/// All rows. Missing numbers are about things other than the bytes of one
/// value: an absent field (1), several lines (32 to 34), and the name of the
/// field (66 to 68).
pub(crate) fn rows() -> Vec<Row> {
    let fixed = QUOTED
        .iter()
        .map(|(number, value, key)| Row::new(*number, value, Some(key), Some(key)));
    let bare = BARE
        .iter()
        .map(|(number, value)| Row::new(*number, value.as_bytes(), None, Some(value)));
    let refused = REFUSED
        .iter()
        .map(|(number, value)| Row::new(*number, value, None, None));
    fixed
        .chain(bare)
        .chain(refused)
        .chain(long_rows())
        .collect()
}

impl Row {
    fn new(number: u8, value: &[u8], strict: Option<&str>, lenient: Option<&str>) -> Self {
        Self {
            number,
            value: value.to_vec(),
            strict: strict.map(Into::into),
            lenient: lenient.map(Into::into),
        }
    }
}

/// Read as the same key by both syntaxes.
const QUOTED: &[(u8, &[u8], &str)] = &[
    (
        2,
        br#""8e03978e-40d5-43e8-bc93-6894a57f9324""#,
        "8e03978e-40d5-43e8-bc93-6894a57f9324",
    ),
    (15, br#""a b""#, "a b"),
    (17, br#""k-1""#, "k-1"),
    (17, br#"  "k-1"   "#, "k-1"),
    (18, br#""a\"b""#, r#"a"b"#),
    (19, br#""a\\b""#, r"a\b"),
    (26, br#""abc";v=1"#, "abc"),
    (
        26,
        br#""abc"; a;b="x;y";c=:aGk=:;d=@1;e=%"%c3%a9";f=?0;g=-1.5"#,
        "abc",
    ),
    (31, br#""a,b""#, "a,b"),
    (52, br#""a""#, "a"),
    (53, br#""a%0d%0ab""#, "a%0d%0ab"),
    (
        54,
        br#""x'; drop table idempotency_keys;--""#,
        "x'; drop table idempotency_keys;--",
    ),
    (
        57,
        br#""8E03978E-40D5-43E8-BC93-6894A57F9324""#,
        "8E03978E-40D5-43E8-BC93-6894A57F9324",
    ),
    (58, br#""\"abc\"""#, r#""abc""#),
];

/// Read by the lenient syntax only, as they are.
const BARE: &[(u8, &str)] = &[
    (3, "8e03978e-40d5-43e8-bc93-6894a57f9324"),
    (4, "f4c1f0aa-40d5-43e8-bc93-6894a57f9324"),
    (5, "clkyoesmbgybucifusbbtdsbohtyuuwz"),
    (6, "12345"),
    (7, "1.5"),
    (8, "01J9ZQ3W8Y6V4T2R0PNMKJHGFE"),
    (9, "c29tZS1rZXk="),
    (10, "order:123/charge:9"),
    (24, "'abc'"),
    (40, ":aGVsbG8=:"),
    (41, "?1"),
    (42, "@1659578233"),
    (55, "{8e03978e-40d5-43e8-bc93-6894a57f9324}"),
    (56, "urn:uuid:8e03978e-40d5-43e8-bc93-6894a57f9324"),
    (59, "null"),
    (59, "undefined"),
];

/// Refused by both syntaxes.
const REFUSED: &[(u8, &[u8])] = &[
    (11, b""),
    (12, b"   "),
    (13, br#""""#),
    (14, br#"" ""#),
    (16, b"a b"),
    (20, br#""a\nb""#),
    (21, br#""abc"#),
    (22, br#"abc""#),
    (23, br#""abc\""#),
    (25, br#""abc"def"#),
    (27, b"abc;v=1"),
    (28, br#""abc";V=1"#),
    (29, br#""a", "b""#),
    (30, b"abc, abc"),
    (35, b"\"cl\xc3\xa9\""),
    (36, b"cl\xc3\xa9"),
    (37, b"\"cl\xe9\""),
    (38, b"\xe2\x80\x9cabc\xe2\x80\x9d"),
    (39, br#"%"cl%c3%a9""#),
    (43, br#"("a" "b")"#),
    (44, b"\"a\tb\""),
    (45, b"a\tb"),
    (46, b"\"a\0b\""),
    (47, b"\"a\x7fb\""),
    (48, b"a\x1bb"),
    (49, b"\"a\nb\""),
    (50, b"\"a\rb\""),
    (51, b"\"a\r\n b\""),
    (60, b"[object Object]"),
];

fn long_rows() -> Vec<Row> {
    let longest = "k".repeat(255);
    let too_long = "k".repeat(256);
    let quotes = "\"".repeat(200);
    let in_quotes = |text: &str| format!("\"{text}\"").into_bytes();
    vec![
        Row::new(61, longest.as_bytes(), None, Some(&longest)),
        Row::new(61, &in_quotes(&longest), Some(&longest), Some(&longest)),
        Row::new(62, too_long.as_bytes(), None, None),
        Row::new(62, &in_quotes(&too_long), None, None),
        Row::new(
            63,
            &in_quotes(&r#"\""#.repeat(200)),
            Some(&quotes),
            Some(&quotes),
        ),
        Row::new(64, &[b'k'; 8 << 10], None, None),
        Row::new(65, &vec![b'k'; 500 << 10], None, None),
        Row::new(65, &in_quotes(&"k".repeat(500 << 10)), None, None),
    ]
}

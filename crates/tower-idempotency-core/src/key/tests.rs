use std::collections::HashMap;

use super::{
    IdempotencyKey, KeyError, KeyErrorKind, KeyFormat, KeySyntax, MAX_KEY_BYTES,
    header_table::rows, parameters::are_well_formed, parse_header,
};

const UUID_V4: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
const UUID_V7: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn kind(value: &[u8], syntax: KeySyntax) -> KeyErrorKind {
    parse_header(value, syntax).unwrap_err().kind()
}

fn text(parsed: Result<IdempotencyKey, KeyError>) -> Option<String> {
    parsed.ok().map(|key| key.as_str().into())
}

#[test]
fn strict_syntax_reads_quoted_strings_only() {
    for row in rows() {
        let read = text(parse_header(&row.value, KeySyntax::Strict));
        assert_eq!(read, row.strict, "row {}", row.number);
    }
}

#[test]
fn lenient_syntax_also_reads_bare_keys() {
    for row in rows() {
        let read = text(parse_header(&row.value, KeySyntax::Lenient));
        assert_eq!(read, row.lenient, "row {}", row.number);
    }
}

#[test]
fn bare_form_takes_every_visible_character_but_four() {
    for byte in 0..=u8::MAX {
        let admitted = byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        let read = parse_header(&[b'a', byte, b'z'], KeySyntax::Lenient);
        assert_eq!(read.is_ok(), admitted, "byte {byte:#04x}");
    }
}

#[test]
fn lenient_is_the_default_syntax() {
    assert_eq!(KeySyntax::default(), KeySyntax::Lenient);
}

#[test]
fn each_refusal_has_its_kind() {
    let cases: [(&[u8], KeyErrorKind); 8] = [
        (b"", KeyErrorKind::Empty),
        (b"  ", KeyErrorKind::Empty),
        (br#""""#, KeyErrorKind::Empty),
        (br#""  ""#, KeyErrorKind::Blank),
        (b"a,b", KeyErrorKind::Syntax),
        (b"\ta", KeyErrorKind::Syntax),
        (br#""a" x"#, KeyErrorKind::Syntax),
        (&[b'k'; MAX_KEY_BYTES + 1], KeyErrorKind::TooLong),
    ];
    for (value, expected) in cases {
        assert_eq!(kind(value, KeySyntax::Lenient), expected, "{value:?}");
    }
    assert_eq!(kind(b"k-1", KeySyntax::Strict), KeyErrorKind::Syntax);
    assert_eq!(KeyError::repeated().kind(), KeyErrorKind::Repeated);
    assert_eq!(KeyError::not_text().kind(), KeyErrorKind::NotText);
}

#[test]
fn reading_a_quoted_key_stops_at_the_256th_character() {
    // What comes after would be a syntax error, so the kind tells that it was
    // not looked at.
    let mut value = vec![b'k'; 500 << 10];
    value[0] = b'"';
    value[300..].fill(0);
    assert_eq!(kind(&value, KeySyntax::Strict), KeyErrorKind::TooLong);
}

#[test]
fn a_huge_bare_key_is_refused_by_its_length() {
    let value = vec![0; 500 << 10];
    assert_eq!(kind(&value, KeySyntax::Lenient), KeyErrorKind::TooLong);
}

#[test]
fn quoted_and_bare_are_the_same_key() {
    let quoted = parse_header(b"\"k-1\"", KeySyntax::Lenient).unwrap();
    let bare = parse_header(b"k-1", KeySyntax::Lenient).unwrap();
    assert_eq!(quoted, bare);
    assert_eq!(quoted, IdempotencyKey::new("k-1").unwrap());
}

#[test]
fn parameters_of_every_type_are_well_formed() {
    let accepted = [
        "",
        ";a",
        ";  a",
        ";*a.b-c_9*",
        ";a=tok/en:!",
        ";a=*",
        ";a=123456789012345",
        ";a=-123456789012.123",
        ";a=::",
        ";a=:YQ:",
        ";a=:YQ=:",
        ";a=:YQ==:",
        ";a=:YWI=:",
        ";a=@-1",
        r#";a="\"\\""#,
        r#";a=%"""#,
        r#";a=%"%f0%9f%92%a9""#,
        ";a;a=1",
    ];
    for parameters in accepted {
        assert!(are_well_formed(parameters.as_bytes()), "{parameters}");
    }
}

#[test]
fn parameters_outside_the_grammar_are_malformed() {
    let refused = [
        "a",
        ";",
        "; ",
        ";\ta",
        " ;a",
        ";a ;b",
        ";1",
        ";A",
        ";a=",
        ";a= 1",
        ";a=1.",
        ";a=.5",
        ";a=1.2345",
        ";a=1234567890123456",
        ";a=1234567890123.1",
        ";a=-",
        ";a=:Y:",
        ";a=:YQ===:",
        ";a=:YWI==:",
        ";a=:=:",
        ";a=:YQ",
        ";a=:Y_==:",
        ";a=@1.5",
        ";a=@",
        ";a=?",
        ";a=?2",
        r#";a="\a""#,
        r#";a="b"#,
        r#";a=%"%C3%A9""#,
        r#";a=%"%c3""#,
        r#";a=%"%c3x""#,
        r#";a=%"%e9%""#,
        ";a=%",
        ";a=(1)",
        ";a=1x",
    ];
    for parameters in refused {
        assert!(!are_well_formed(parameters.as_bytes()), "{parameters}");
    }
}

#[test]
fn key_is_one_to_255_bytes_of_printable_ascii() {
    let new = |text: &str| IdempotencyKey::new(text).map_err(|error| error.kind());
    assert!(new("~ !").is_ok());
    assert!(new(&"k".repeat(255)).is_ok());
    assert_eq!(new(""), Err(KeyErrorKind::Empty));
    assert_eq!(new(" "), Err(KeyErrorKind::Blank));
    assert_eq!(new("a\u{7f}"), Err(KeyErrorKind::Syntax));
    assert_eq!(new("a\n"), Err(KeyErrorKind::Syntax));
    assert_eq!(new("é"), Err(KeyErrorKind::Syntax));
    assert_eq!(new(&"k".repeat(256)), Err(KeyErrorKind::TooLong));
}

#[test]
fn every_conversion_checks_alike() {
    let key = IdempotencyKey::new("k-1").unwrap();
    assert_eq!("k-1".parse(), Ok(key.clone()));
    assert_eq!(IdempotencyKey::try_from("k-1"), Ok(key.clone()));
    assert_eq!(
        IdempotencyKey::try_from(String::from("k-1")),
        Ok(key.clone())
    );
    assert_eq!(key.as_ref(), "k-1");

    assert!("".parse::<IdempotencyKey>().is_err());
    assert!(IdempotencyKey::try_from("").is_err());
    assert!(IdempotencyKey::try_from(String::new()).is_err());
}

#[test]
fn keys_are_compared_byte_by_byte() {
    let key = |text| IdempotencyKey::new(text).unwrap();
    assert_ne!(key("A"), key("a"));
    assert_ne!(key("a"), key("a "));
    assert!(key("A") < key("a"));
    let found = HashMap::from([(key("a"), 1)]).get(&key("a")).copied();
    assert_eq!(found, Some(1));
}

#[test]
fn neither_debug_nor_an_error_shows_the_key() {
    let key = IdempotencyKey::new("secret-7").unwrap();
    assert!(!format!("{key:?}").contains("secret-7"));

    let refused = KeyFormat::Uuid.check(&key).unwrap_err();
    let malformed = parse_header(b"secret-7;", KeySyntax::Lenient).unwrap_err();
    for error in [refused, malformed] {
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[test]
fn debug_tells_different_keys_apart() {
    let debug = |text| format!("{:?}", IdempotencyKey::new(text).unwrap());
    assert_ne!(debug("k-1"), debug("k-2"));
    assert_eq!(debug("k-1"), debug("k-1"));
}

#[test]
fn every_kind_has_its_own_message() {
    let kinds = [
        KeyErrorKind::Empty,
        KeyErrorKind::Blank,
        KeyErrorKind::TooLong,
        KeyErrorKind::Syntax,
        KeyErrorKind::Repeated,
        KeyErrorKind::Format,
        KeyErrorKind::NotText,
    ];
    let messages: HashMap<String, KeyErrorKind> = kinds
        .map(|kind| (KeyError::new(kind).to_string(), kind))
        .into();
    assert_eq!(messages.len(), kinds.len());
    assert!(
        messages
            .keys()
            .all(|text| !text.ends_with('.') && text.is_ascii())
    );
}

fn admits(format: &KeyFormat, key: &str) -> bool {
    match format.check(&IdempotencyKey::new(key).unwrap()) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), KeyErrorKind::Format);
            false
        }
    }
}

#[test]
fn uuid_format_admits_the_hyphenated_form_only() {
    assert!(admits(&KeyFormat::Uuid, UUID_V4));
    assert!(admits(&KeyFormat::Uuid, UUID_V7));
    assert!(admits(&KeyFormat::Uuid, &UUID_V4.to_uppercase()));

    assert!(!admits(&KeyFormat::Uuid, &UUID_V4.replace('-', "")));
    assert!(!admits(&KeyFormat::Uuid, &format!("{{{UUID_V4}}}")));
    assert!(!admits(&KeyFormat::Uuid, &format!("urn:uuid:{UUID_V4}")));
    assert!(!admits(&KeyFormat::Uuid, &UUID_V4.replace('-', "_")));
    assert!(!admits(&KeyFormat::Uuid, &"8".repeat(36)));
}

#[test]
fn uuid_v4_format_admits_random_uuids_only() {
    assert!(admits(&KeyFormat::UuidV4, UUID_V4));
    assert!(!admits(&KeyFormat::UuidV4, UUID_V7));
    // The version is right, but the variant is not that of RFC 9562.
    assert!(!admits(
        &KeyFormat::UuidV4,
        "8e03978e-40d5-43e8-cc93-6894a57f9324"
    ));
    assert!(!admits(
        &KeyFormat::UuidV4,
        "00000000-0000-0000-0000-000000000000"
    ));
}

#[test]
fn any_format_is_the_default_and_admits_every_key() {
    assert!(admits(&KeyFormat::default(), "1"));
}

#[test]
fn custom_format_sees_the_key_without_quotes() {
    let format = KeyFormat::custom(|key| key == "k-1");
    let key = parse_header(b"\"k-1\"", KeySyntax::Strict).unwrap();
    assert!(format.check(&key).is_ok());
    assert!(!admits(&format, "k-2"));
    assert_eq!(format!("{format:?}"), "Custom(<fn>)");
}

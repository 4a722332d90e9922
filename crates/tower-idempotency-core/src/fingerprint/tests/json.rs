//! What counts of a JSON body.

use std::collections::HashSet;

use http::header;
use serde_json::Value;

use super::{Request, canonical, plain, same};
use crate::fingerprint::{
    Fingerprint, FingerprintPolicy, JsonPointer, PointerErrorKind, json::MAX_DEPTH,
};

fn same_json(policy: &FingerprintPolicy, a: &str, b: &str) -> bool {
    same(policy, &Request::json(a), &Request::json(b))
}

#[test]
fn order_of_members_does_not_count_under_canonical_json_only() {
    let (a, b) = (
        r#"{"a":{"x":1,"y":2},"b":3}"#,
        r#"{"b":3,"a":{"y":2,"x":1}}"#,
    );
    assert!(same_json(&canonical(), a, b));
    assert!(!same_json(&plain(), a, b));
    assert!(!same_json(&plain().exclude_json(["/c"]).unwrap(), a, b));
}

#[test]
fn whitespace_and_escapes_do_not_count_under_canonical_json() {
    let a = r#"{"name":"a/b é 😀","list":[1,{}]}"#;
    let b = "\r\n{ \"\\u006eame\" :\t\"a\\/b \\u00e9 \\ud83d\\ude00\" , \"list\": [ 1 , { } ] } ";
    assert!(same_json(&canonical(), a, b));
    assert!(!same_json(&plain(), a, b));
}

#[test]
fn escaped_quotes_and_backslashes_do_not_end_a_string() {
    let a = r#"{"a\\":"b\"c","d\"":1}"#;
    let b = r#"{ "d\u0022": 1, "a\u005c": "b\u0022c" }"#;
    assert!(same_json(&canonical(), a, b));
}

#[test]
fn canonical_json_keeps_the_order_of_elements() {
    assert!(!same_json(&canonical(), "[1,2]", "[2,1]"));
}

#[test]
fn numbers_are_compared_by_their_text() {
    let numbers = [
        "1",
        "1.0",
        "1e0",
        "10e-1",
        "-0",
        "0",
        "0.1",
        "0.10000000000000000001",
        "12345678901234567890",
        "12345678901234567891",
        "1e400",
        "1e401",
    ];
    let distinct: HashSet<_> = numbers
        .iter()
        .map(|number| Request::json(format!(r#"{{"amount": {number}}}"#)).fingerprint(&canonical()))
        .collect();
    assert_eq!(distinct.len(), numbers.len());
}

#[test]
fn values_of_different_types_differ() {
    let values = [
        "null",
        "true",
        "false",
        "0",
        "\"\"",
        "\"null\"",
        "\"0\"",
        "[]",
        "{}",
        "[null]",
        "[[]]",
        "[\"\"]",
        "[{}]",
        "{\"\":null}",
        "{\"\":\"\"}",
        "[1,2]",
        "[12]",
        "[\"1,2\"]",
        "[[1],2]",
        "[1,[2]]",
        "[[1,2]]",
        "{\"a\":{\"b\":1}}",
        "{\"a\":{},\"b\":1}",
    ];
    let distinct: HashSet<_> = values
        .iter()
        .map(|value| Request::json(value).fingerprint(&canonical()))
        .collect();
    assert_eq!(distinct.len(), values.len());
}

#[test]
fn excluded_member_is_ignored() {
    let policy = plain().exclude_json(["/at", "/meta/id"]).unwrap();
    let base = r#"{"amount":1,"meta":{}}"#;
    assert!(same_json(
        &policy,
        base,
        r#"{"amount":1,"at":5,"meta":{"id":7}}"#
    ));
    assert!(same_json(
        &policy,
        base,
        r#"{"amount":1,"meta":{"id":null},"at":[{"b":5}]}"#
    ));
    assert!(!same_json(&policy, base, r#"{"amount":2,"meta":{}}"#));
    assert!(!same_json(&policy, base, r#"{"amount":1,"meta":{"at":5}}"#));
}

#[test]
fn excluded_elements_keep_the_index_of_the_others() {
    let policy = plain().exclude_json(["/0", "/1"]).unwrap();
    assert!(same_json(&policy, "[1,2,3]", "[4,5,3]"));
    assert!(!same_json(&policy, "[1,2,3]", "[1,2,4]"));
}

#[test]
fn only_included_values_count() {
    let policy = plain().include_json(["/amount", "/to/0"]).unwrap();
    let base = r#"{"amount":1,"to":["a","b"],"at":5}"#;
    assert!(same_json(&policy, base, r#"{"to":["a"],"amount":1}"#));
    assert!(!same_json(&policy, base, r#"{"amount":2,"to":["a","b"]}"#));
    assert!(!same_json(&policy, base, r#"{"amount":1,"to":["b","a"]}"#));
}

#[test]
fn absent_included_value_differs_from_null() {
    let policy = plain().include_json(["/a"]).unwrap();
    assert!(!same_json(&policy, "{}", r#"{"a":null}"#));
    assert!(same_json(&policy, "{}", r#"{"b":null}"#));
}

#[test]
fn values_do_not_wander_between_included_pointers() {
    let policy = plain().include_json(["/a", "/b"]).unwrap();
    assert!(!same_json(&policy, r#"{"a":1}"#, r#"{"b":1}"#));
    assert!(!same_json(&policy, r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#));
}

#[test]
fn excluded_value_does_not_count_inside_an_included_one() {
    let policy = plain()
        .include_json(["/a"])
        .unwrap()
        .exclude_json(["/a/at"])
        .unwrap();
    assert!(same_json(
        &policy,
        r#"{"a":{"b":1,"at":1}}"#,
        r#"{"a":{"b":1,"at":2}}"#
    ));
    assert!(!same_json(
        &policy,
        r#"{"a":{"b":1,"at":1}}"#,
        r#"{"a":{"b":2,"at":1}}"#
    ));
}

#[test]
fn no_pointer_at_all_changes_nothing() {
    let request = Request::json(r#"{"a": 1}"#);
    let none: [&str; 0] = [];
    let policy = plain()
        .include_json(none)
        .unwrap()
        .exclude_json(none)
        .unwrap();
    assert_eq!(request.fingerprint(&policy), request.fingerprint(&plain()));
}

#[test]
fn pointers_name_escaped_members_and_canonical_indexes() {
    let differs = |pointer: &str, a: &str, b: &str| {
        let policy = plain().include_json([pointer]).unwrap();
        !same_json(&policy, a, b)
    };
    assert!(differs("/a~1b", r#"{"a/b":1}"#, r#"{"a/b":2}"#));
    assert!(differs("/~01", r#"{"~1":1}"#, r#"{"~1":2}"#));
    assert!(differs("/", r#"{"":1}"#, r#"{"":2}"#));
    assert!(differs("", "1", "2"));
    assert!(differs("/n\u{e9}", r#"{"n\u00e9":1}"#, r#"{"né":2}"#));
    assert!(differs(
        "/10",
        "[0,1,2,3,4,5,6,7,8,9,1]",
        "[0,1,2,3,4,5,6,7,8,9,2]"
    ));
    assert!(differs("/01", r#"{"01":1}"#, r#"{"01":2}"#));
    for no_index in [
        "/01",
        "/-",
        "/+1",
        "/1.0",
        "/ 1",
        "/1/0",
        "/99999999999999999999",
    ] {
        assert!(!differs(no_index, "[1,2]", "[1,3]"), "{no_index}");
    }
}

#[test]
fn malformed_pointer_is_an_error() {
    let kind = |text| JsonPointer::parse(text).unwrap_err().kind();
    assert_eq!(kind("a"), PointerErrorKind::NoSlash);
    assert_eq!(kind("a/b"), PointerErrorKind::NoSlash);
    assert_eq!(kind("/~"), PointerErrorKind::Escape);
    assert_eq!(kind("/~2"), PointerErrorKind::Escape);
    assert_eq!(kind("/~/a"), PointerErrorKind::Escape);
    assert!(plain().include_json(["/a", "b"]).is_err());
    assert!(plain().exclude_json(["/a", "b"]).is_err());
}

#[test]
fn json_options_apply_to_json_only() {
    let applies = |content_type: &'static str| {
        let request = |body| Request::new("/", body).header(header::CONTENT_TYPE, content_type);
        same(&canonical(), &request("[1]"), &request("[ 1 ]"))
    };
    for json in [
        "application/json",
        "Application/JSON;charset=utf-8",
        "application/json ; a=b",
        "application/merge-patch+json",
        "application/vnd.api+JSON",
    ] {
        assert!(applies(json), "{json}");
    }
    for other in [
        "",
        "text/plain",
        "text/json",
        "application/jsonl",
        "json",
        "a/b+json+xml",
    ] {
        assert!(!applies(other), "{other}");
    }

    let without = |body| Request::new("/", body);
    assert!(!same(&canonical(), &without("[1]"), &without("[ 1 ]")));
    let twice = |body| Request::json(body).header(header::CONTENT_TYPE, "application/json");
    assert!(!same(&canonical(), &twice("[1]"), &twice("[ 1 ]")));
}

/// Compares bodies byte by byte, which a space more shows.
#[track_caller]
fn assert_is_not_read(body: &str) {
    let request = Request::json(body);
    let spaced = Request::json(format!("{body} "));
    assert!(!same(&canonical(), &request, &spaced), "{body}");
    assert!(same(&canonical(), &request, &request.clone()), "{body}");
}

#[test]
fn ambiguous_or_invalid_json_is_compared_byte_by_byte() {
    assert_is_not_read(r#"{"a":1,"a":1}"#);
    assert_is_not_read(r#"{"a":1,"\u0061":1}"#);
    assert_is_not_read(r#"[{"b":{"a":1,"a":2}}]"#);
    assert_is_not_read(r#"{"a":1,}"#);
    assert_is_not_read("[1,]");
    assert_is_not_read("[1 2]");
    assert_is_not_read("{a:1}");
    assert_is_not_read("01");
    assert_is_not_read("NaN");
    assert_is_not_read("");
    assert_is_not_read("1 2");
    assert_is_not_read(r#""\ud800""#);
    assert_is_not_read(r#"{"\udc00":1}"#);
    assert_is_not_read("\u{feff}1");
}

#[test]
fn body_that_is_no_utf8_is_compared_byte_by_byte() {
    let (a, b) = (Request::json(b"\"\xff\""), Request::json(b"\"\xff\" "));
    assert!(!same(&canonical(), &a, &b));
}

#[test]
fn members_of_one_name_do_not_hide_one_another() {
    assert!(!same_json(&canonical(), r#"{"a":1,"a":2}"#, r#"{"a":2}"#));
    assert!(!same_json(
        &canonical(),
        r#"{"a":1,"a":2}"#,
        r#"{"a":3,"a":2}"#
    ));
}

#[test]
fn json_that_was_not_read_differs_from_json_that_was() {
    let policy = plain().include_json(["/a"]).unwrap();
    let read = Request::json(r#"{"b":1}"#);
    let not_read = Request::json(r#"{"b":1,"b":1}"#);
    assert!(!same(&policy, &read, &not_read));
}

#[test]
fn nesting_is_read_up_to_64_levels() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deepest = nested(MAX_DEPTH);
    assert_eq!(MAX_DEPTH, 64);
    assert!(same_json(&canonical(), &deepest, &format!("{deepest} ")));
    assert_is_not_read(&nested(MAX_DEPTH + 1));
    assert_is_not_read(&format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65)));
}

#[test]
fn a_megabyte_of_brackets_does_not_overflow_the_stack() {
    assert_is_not_read(&"[".repeat(1 << 20));
    assert_is_not_read(&r#"{"a":"#.repeat(1 << 18));
    let balanced = "[".repeat(1 << 19) + &"]".repeat(1 << 19);
    assert_is_not_read(&balanced);
}

/// `serde_json::Value` compares objects without their order. With numbers that
/// it holds exactly and no name twice, it must agree.
#[test]
fn canonical_json_agrees_with_the_equality_of_values() {
    let mut random = Random(7);
    let mut equal = 0;
    let documents: Vec<String> = (0..300).map(|_| document(&mut random, 3)).collect();
    let read: Vec<(Value, Fingerprint)> = documents
        .iter()
        .map(|text| {
            let value = serde_json::from_str(text).unwrap();
            (value, Request::json(text).fingerprint(&canonical()))
        })
        .collect();
    for (i, (value, fingerprint)) in read.iter().enumerate() {
        for (other, other_fingerprint) in &read[..i] {
            assert_eq!(
                value == other,
                fingerprint == other_fingerprint,
                "{value} {other}"
            );
            equal += usize::from(value == other);
        }
    }
    assert!(equal > 50, "only {equal} pairs are equal");
}

/// A small document with few possible contents, so that many pairs are equal.
fn document(random: &mut Random, depth: usize) -> String {
    let space = ["", " "][random.below(2)];
    let kind = random.below(if depth == 0 { 3 } else { 5 });
    let text = match kind {
        0 => ["1", "2"][random.below(2)].into(),
        1 => ["\"a\"", "\"\\u0061\"", "\"b\\n\""][random.below(3)].into(),
        2 => ["null", "true"][random.below(2)].into(),
        3 => {
            let elements: Vec<String> = (0..random.below(3))
                .map(|_| document(random, depth - 1))
                .collect();
            format!("[{space}{}]", elements.join(","))
        }
        _ => {
            let names = [["\"x\"", "\"y\""], ["\"\\u0079\"", "\"x\""]][random.below(2)];
            let members: Vec<String> = names[..random.below(3)]
                .iter()
                .map(|name| format!("{name}{space}:{}", document(random, depth - 1)))
                .collect();
            format!("{{{}{space}}}", members.join(" , "))
        }
    };
    format!("{space}{text}")
}

/// A linear congruential generator: the same documents in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::from(self.0.to_be_bytes()[0]) % bound
    }
}

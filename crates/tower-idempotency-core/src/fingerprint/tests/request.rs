//! Which parts of a request count.

use std::collections::HashSet;

use http::{Method, header};

use super::{Request, canonical, plain, same};
use crate::fingerprint::{FingerprintInput, encoder::Encoder};

#[test]
fn same_request_has_the_same_fingerprint() {
    let request = Request::new("/a?b=c", "body").header(header::CONTENT_TYPE, "text/plain");
    assert!(same(&plain(), &request, &request.clone()));
}

#[test]
fn each_part_of_the_request_counts() {
    let base = Request::new("/a?b=c", "body").header(header::CONTENT_TYPE, "text/plain");
    let mut put = base.clone();
    put.method = Method::PUT;
    let mut variants = vec![base.clone(), put];
    for target in ["/A?b=c", "/a?b=d", "/a?", "/a", "/a/?b=c"] {
        let mut variant = base.clone();
        variant.target = target.parse().unwrap();
        variants.push(variant);
    }
    for body in ["", "Body", "body "] {
        let mut variant = base.clone();
        variant.body = body.into();
        variants.push(variant);
    }
    let distinct: HashSet<_> = variants.iter().map(|r| r.fingerprint(&plain())).collect();
    assert_eq!(distinct.len(), variants.len());
}

#[test]
fn different_splits_of_the_same_bytes_differ() {
    let splits = [
        Request::new("/a", "bc").header(header::CONTENT_TYPE, "t"),
        Request::new("/ab", "c").header(header::CONTENT_TYPE, "t"),
        Request::new("/a", "c").header(header::CONTENT_TYPE, "bt"),
        Request::new("/a?b", "c").header(header::CONTENT_TYPE, "t"),
        Request::new("/a", "tbc").header(header::CONTENT_TYPE, ""),
        Request::new("/a", "tbc"),
    ];
    let distinct: HashSet<_> = splits.iter().map(|r| r.fingerprint(&plain())).collect();
    assert_eq!(distinct.len(), splits.len());
}

#[test]
fn host_and_other_headers_do_not_count() {
    let a = Request::new("https://a.example/p?q", "").header(header::HOST, "a.example");
    let b = Request::new("http://b.example:8080/p?q", "").header(header::DATE, "now");
    assert!(same(&plain(), &a, &b));
}

#[test]
fn absent_content_type_differs_from_an_empty_one() {
    let absent = Request::new("/", "");
    let empty = absent.clone().header(header::CONTENT_TYPE, "");
    assert!(!same(&plain(), &absent, &empty));
}

#[test]
fn query_counts_unless_left_out() {
    let (a, b) = (Request::new("/p?a=1", ""), Request::new("/p?a=2", ""));
    assert!(!same(&plain(), &a, &b));
    assert!(same(&plain().without_query(), &a, &b));
    let other_path = Request::new("/q?a=1", "");
    assert!(!same(&plain().without_query(), &a, &other_path));
}

#[test]
fn extra_headers_count_with_all_values_in_order() {
    let policy = plain().header(header::ACCEPT);
    let base = Request::new("/", "");
    let accept = |values: &[&'static str]| {
        let add = |request: Request, value: &&'static str| request.header(header::ACCEPT, value);
        values.iter().fold(base.clone(), add)
    };
    let variants: [&[&str]; 6] = [&[], &[""], &["a"], &["a", "b"], &["b", "a"], &["a, b"]];
    let distinct: HashSet<_> = variants
        .iter()
        .map(|values| accept(values).fingerprint(&policy))
        .collect();
    assert_eq!(distinct.len(), variants.len());
    assert!(same(&plain(), &accept(&["a"]), &accept(&["b"])));
}

#[test]
fn order_of_configuration_does_not_count() {
    let request = Request::json(r#"{"a":1,"b":2}"#).header(header::ACCEPT, "x");
    let a = plain()
        .header(header::ACCEPT)
        .header(header::RANGE)
        .include_json(["/a", "/b"])
        .unwrap();
    let b = plain()
        .include_json(["/b"])
        .unwrap()
        .include_json(["/a", "/b"])
        .unwrap()
        .header(header::RANGE)
        .header(header::ACCEPT)
        .header(header::RANGE);
    assert_eq!(request.fingerprint(&a), request.fingerprint(&b));
}

#[test]
fn every_option_changes_the_digest() {
    // The request is such that each option selects the same as the default.
    let request = Request::json("1");
    let policies = [
        plain(),
        plain().without_query(),
        plain().header(header::ACCEPT),
        plain().header(header::RANGE),
        plain().include_json([""]).unwrap(),
        plain().exclude_json(["/a"]).unwrap(),
        plain().exclude_json(["/b"]).unwrap(),
        plain().exclude_json(["/a", "/b"]).unwrap(),
        plain().include_json(["/a"]).unwrap(),
        canonical(),
        plain().secret("s"),
        plain().secret("t"),
        plain().custom(|_| Vec::new()),
        plain().custom(|_| Vec::new()).secret("s"),
        plain().off(),
    ];
    let distinct: HashSet<_> = policies.iter().map(|p| request.fingerprint(p)).collect();
    assert_eq!(distinct.len(), policies.len());
}

#[test]
fn same_secret_gives_the_same_digest() {
    let request = Request::new("/", "body");
    let (a, b) = (plain().secret("s"), plain().secret(b"s"));
    assert_eq!(request.fingerprint(&a), request.fingerprint(&b));
    assert!(!same(&a, &request, &Request::new("/", "other")));
}

#[test]
fn custom_selection_is_all_that_counts() {
    let policy = plain().custom(|input| input.body.iter().take(1).copied().collect());
    assert!(same(
        &policy,
        &Request::new("/a", "xy"),
        &Request::new("/b", "xz")
    ));
    assert!(!same(
        &policy,
        &Request::new("/a", "xy"),
        &Request::new("/a", "zy")
    ));
}

#[test]
fn debug_shows_neither_secret_nor_request() {
    let policy = plain().secret("hunter2").custom(|_| Vec::new());
    let debug = format!("{policy:?}");
    assert!(
        debug.contains("Custom(<fn>)") && debug.contains("<redacted>"),
        "{debug}"
    );
    assert!(!debug.contains("hunter2"), "{debug}");

    let request = Request::new("/hunter2", "hunter2").header(header::ACCEPT, "hunter2");
    let input = FingerprintInput {
        method: &request.method,
        target: &request.target,
        headers: &request.headers,
        body: &request.body,
    };
    assert!(!format!("{input:?}").contains("hunter2"));
}

#[test]
fn encoder_keeps_values_apart() {
    let encoded = |feed: fn(&mut Encoder)| {
        let mut encoder = Encoder::new(None);
        feed(&mut encoder);
        encoder.finish()
    };
    let variants: [fn(&mut Encoder); 5] = [
        |out| out.bytes(b"ab"),
        |out| {
            out.bytes(b"a");
            out.bytes(b"b");
        },
        |out| {
            out.bytes(b"");
            out.bytes(b"ab");
        },
        |out| out.optional_bytes(None),
        |out| out.optional_bytes(Some(b"")),
    ];
    let distinct: HashSet<_> = variants.map(encoded).into();
    assert_eq!(distinct.len(), variants.len());
}

//! Keys in the body of a request.

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;
use tower_idempotency_core::{IdempotencyKey, KeyError};

pub(super) fn json_pointer(
    pointer: &str,
    body: &Bytes,
) -> Option<Result<IdempotencyKey, KeyError>> {
    let document: Value = serde_json::from_slice(body).ok()?;
    match document.pointer(pointer)? {
        Value::Null => None,
        Value::String(text) => Some(IdempotencyKey::new(text)),
        // A float has no single spelling, so it cannot name anything.
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            Some(IdempotencyKey::new(number.to_string()))
        }
        _ => Some(Err(KeyError::not_text())),
    }
}

pub(super) fn form_field(
    name: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Result<IdempotencyKey, KeyError>> {
    if !is_form(headers) {
        return None;
    }
    let mut values = form_urlencoded::parse(body).filter(|(field, _)| field == name);
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return Some(Err(KeyError::repeated()));
    }
    // An empty hidden field is what a form without a key sends.
    (!value.is_empty()).then(|| IdempotencyKey::new(value))
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_at(pointer: &str, body: &'static str) -> Option<Result<String, KeyError>> {
        json_pointer(pointer, &Bytes::from_static(body.as_bytes()))
            .map(|key| key.map(|key| key.as_str().to_owned()))
    }

    #[test]
    fn a_string_or_a_whole_number_is_a_key() {
        assert_eq!(key_at("/a/b", r#"{"a":{"b":"k"}}"#).unwrap().unwrap(), "k");
        assert_eq!(key_at("/id", r#"{"id":42}"#).unwrap().unwrap(), "42");
    }

    #[test]
    fn an_absent_member_null_or_no_json_is_no_key() {
        assert!(key_at("/id", "{}").is_none());
        assert!(key_at("/id", r#"{"id":null}"#).is_none());
        assert!(key_at("/id", "id=42").is_none());
    }

    #[test]
    fn any_other_type_is_refused() {
        for body in [r#"{"id":1.5}"#, r#"{"id":true}"#, r#"{"id":["k"]}"#] {
            assert!(key_at("/id", body).unwrap().is_err(), "{body}");
        }
    }

    #[test]
    fn a_form_field_is_a_key_once() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8"
                .parse()
                .unwrap(),
        );
        let find = |body: &'static str| {
            form_field("token", &headers, &Bytes::from_static(body.as_bytes()))
        };
        assert_eq!(find("a=1&token=a+b%2C").unwrap().unwrap().as_str(), "a b,");
        assert!(find("token=").is_none());
        assert!(find("a=1").is_none());
        assert!(find("token=a&token=b").unwrap().is_err());
    }
}

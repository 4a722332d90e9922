//! The member that says in a JSON object that it is a replay.

use std::fmt;

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::{RawValue, to_raw_value};

/// What speaks of the bytes of a body.
const OF_THE_BYTES: [&str; 4] = ["content-digest", "content-md5", "digest", "repr-digest"];

/// Puts `name: true` into `body` if it is a JSON object.
pub(super) fn mark(name: &str, headers: &mut HeaderMap, body: &mut Bytes) {
    if !is_json(headers) {
        return;
    }
    let Some(marked) = marked(name, body) else {
        return;
    };
    *body = marked;
    headers.remove(ETAG);
    for name in OF_THE_BYTES {
        headers.remove(name);
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|kind| kind.trim().to_ascii_lowercase());
    !headers.contains_key(CONTENT_ENCODING)
        && kind.is_some_and(|kind| kind == "application/json" || kind.ends_with("+json"))
}

fn marked(name: &str, body: &[u8]) -> Option<Bytes> {
    let Members(mut members) = serde_json::from_slice(body).ok()?;
    members.retain(|(member, _)| member != name);
    members.push((name.to_owned(), to_raw_value(&true).ok()?));
    serde_json::to_vec(&Members(members)).ok().map(Bytes::from)
}

/// The members of an object in their order, with their values as they were written: a number that
/// is parsed and written again need not be the same.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn text(body: &'static str) -> Option<String> {
        let marked = marked("idempotent", body.as_bytes())?;
        Some(String::from_utf8(marked.to_vec()).unwrap())
    }

    #[test]
    fn an_object_keeps_its_order_and_its_numbers() {
        let body = r#" {"z":1.10,"a":{"n": 12345678901234567890123},"e":[]} "#;
        let expected = r#"{"z":1.10,"a":{"n": 12345678901234567890123},"e":[],"idempotent":true}"#;
        assert_eq!(text(body).unwrap(), expected);
        assert_eq!(text("{}").unwrap(), r#"{"idempotent":true}"#);
    }

    #[test]
    fn a_member_of_the_same_name_gives_way() {
        let body = r#"{"idempotent":false,"id":7}"#;
        assert_eq!(text(body).unwrap(), r#"{"id":7,"idempotent":true}"#);
    }

    #[test]
    fn whatever_is_no_object_is_left_alone() {
        for body in ["[1]", "7", "", "{", "{}x", "null", "<p>"] {
            assert_eq!(text(body), None, "{body}");
        }
    }

    #[test]
    fn the_content_type_decides_and_digests_go_with_the_bytes() {
        let object = || Bytes::from_static(b"{}");
        let mut headers = HeaderMap::new();
        let mut body = object();
        mark("x", &mut headers, &mut body);
        assert_eq!(body, object());

        let json = HeaderValue::from_static("Application/Problem+JSON; charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
        headers.insert(ETAG, HeaderValue::from_static("\"1\""));
        headers.insert("content-digest", HeaderValue::from_static("sha-256=:x:"));
        let mut encoded = headers.clone();
        encoded.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        mark("x", &mut encoded, &mut body);
        assert_eq!((body.clone(), encoded.len()), (object(), 4));

        mark("x", &mut headers, &mut body);
        assert_eq!((&body[..], headers.len()), (&b"{\"x\":true}"[..], 1));
    }
}

mod json;
mod request;
mod value;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::{Fingerprint, FingerprintInput, FingerprintPolicy};

/// A request that owns its parts.
#[derive(Clone)]
struct Request {
    method: Method,
    target: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn new(target: &str, body: impl AsRef<[u8]>) -> Self {
        Self {
            method: Method::POST,
            target: target.parse().unwrap(),
            headers: HeaderMap::new(),
            body: body.as_ref().to_vec(),
        }
    }

    fn json(body: impl AsRef<[u8]>) -> Self {
        Self::new("/payments", body).header(header::CONTENT_TYPE, "application/json")
    }

    fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    fn fingerprint(&self, policy: &FingerprintPolicy) -> Fingerprint {
        policy.fingerprint(&FingerprintInput {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
            body: &self.body,
        })
    }
}

fn plain() -> FingerprintPolicy {
    FingerprintPolicy::default()
}

fn canonical() -> FingerprintPolicy {
    plain().canonical_json()
}

fn same(policy: &FingerprintPolicy, a: &Request, b: &Request) -> bool {
    let (a, b) = (a.fingerprint(policy), b.fingerprint(policy));
    assert_eq!(a == b, a.matches(&b));
    a == b
}

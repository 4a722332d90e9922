//! Pieces of the work, each by itself.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use tower_idempotency_core::{
    Fingerprint, FingerprintInput, FingerprintPolicy, IdempotencyKey, KeySyntax, RecordId, Scope,
    StoredResponse, parse_header,
};

const KEY: &[u8] = b"\"8e03978e-40d5-43e8-bc93-6894a57f9324\"";

/// What the pieces work on.
#[derive(Debug)]
pub struct Pieces {
    scope: Scope,
    key: IdempotencyKey,
    policy: FingerprintPolicy,
    target: Uri,
    headers: HeaderMap,
    small: Bytes,
    large: Bytes,
    response: StoredResponse,
    head: Vec<u8>,
}

impl Pieces {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::LOCATION, HeaderValue::from_static("/payments/17"));
        let small = Bytes::from(vec![b'a'; 200]);
        let response = StoredResponse::new(StatusCode::CREATED, &headers, small.clone());
        Ok(Self {
            scope: Scope::new("alice", "POST /payments"),
            key: parse_header(KEY, KeySyntax::Lenient)?,
            policy: FingerprintPolicy::default(),
            target: Uri::from_static("/payments"),
            headers,
            small,
            large: Bytes::from(vec![b'a'; 16 * 1024]),
            head: response.head(),
            response,
        })
    }

    pub(crate) fn parse_key(&self) -> Option<IdempotencyKey> {
        parse_header(std::hint::black_box(KEY), KeySyntax::Lenient).ok()
    }

    pub(crate) fn record_id(&self) -> RecordId {
        RecordId::new(&self.scope, std::hint::black_box(&self.key))
    }

    pub(crate) fn fingerprint_small(&self) -> Fingerprint {
        self.fingerprint(&self.small)
    }

    pub(crate) fn fingerprint_large(&self) -> Fingerprint {
        self.fingerprint(&self.large)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        std::hint::black_box(&self.response).head()
    }

    pub(crate) fn decode(&self) -> Option<StoredResponse> {
        let head = std::hint::black_box(&self.head);
        StoredResponse::decode(201, head, Some(self.small.clone())).ok()
    }

    fn fingerprint(&self, body: &[u8]) -> Fingerprint {
        self.policy.fingerprint(&FingerprintInput {
            method: &Method::POST,
            target: &self.target,
            headers: &self.headers,
            body: std::hint::black_box(body),
        })
    }
}

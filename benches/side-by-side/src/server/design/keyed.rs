//! What the designs read of a request.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
};
use bytes::Bytes;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use sha2::{Digest, Sha256};

const MOST_BYTES: usize = 1 << 20;

/// Whose key it is, and what stands for the whole request.
pub(crate) struct Keyed {
    pub(crate) principal: String,
    pub(crate) key: String,
    pub(crate) fingerprint: [u8; 32],
}

impl Keyed {
    /// `None` for requests without a key.
    pub(crate) fn read(parts: &Parts, body: &Bytes) -> Option<Self> {
        let text = |name: &str| text(&parts.headers, name);
        let mut digest = Sha256::new();
        digest.update(parts.method.as_str());
        digest.update(parts.uri.path());
        digest.update(body);
        Some(Self {
            principal: text(AUTHORIZATION.as_str())?,
            key: text("idempotency-key")?,
            fingerprint: digest.finalize().into(),
        })
    }

    /// Returns what stands for principal and key.
    pub(crate) fn id(&self) -> [u8; 32] {
        let digest = Sha256::new_with_prefix(&self.principal);
        digest
            .chain_update([0])
            .chain_update(&self.key)
            .finalize()
            .into()
    }
}

/// Reads the whole request, and returns it as it was.
pub(crate) async fn read(request: Request) -> anyhow::Result<(Option<Keyed>, Request)> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MOST_BYTES).await?;
    let keyed = Keyed::read(&parts, &body);
    Ok((keyed, Request::from_parts(parts, Body::from(body))))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

use std::fmt;

use http::{HeaderMap, Method, Uri, header::CONTENT_TYPE};

/// The parts of a request that a [`FingerprintPolicy`](super::FingerprintPolicy)
/// looks at.
///
/// `Debug` prints the method and sizes only: the others can be confidential.
///
/// # Example
///
/// ```
/// use http::{HeaderMap, Method, Uri};
/// use tower_idempotency_core::FingerprintInput;
///
/// let input = FingerprintInput {
///     method: &Method::POST,
///     target: &Uri::from_static("/payments?notify=1"),
///     headers: &HeaderMap::new(),
///     body: b"amount=1",
/// };
/// assert_eq!(
///     format!("{input:?}"),
///     r#"FingerprintInput { method: POST, headers: 0, body_bytes: 8, .. }"#
/// );
/// ```
#[derive(Clone, Copy)]
pub struct FingerprintInput<'a> {
    /// The method.
    pub method: &'a Method,
    /// The original target, before a router has removed a prefix. Only its path
    /// and query count, because a retry can come through another host name.
    pub target: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The whole body, decoded from any content or transfer coding.
    pub body: &'a [u8],
}

impl FingerprintInput<'_> {
    /// Whether the one content type is `application/json` or ends in `+json`.
    pub(super) fn is_json(&self) -> bool {
        let mut content_types = self.headers.get_all(CONTENT_TYPE).iter();
        let (Some(content_type), None) = (content_types.next(), content_types.next()) else {
            return false;
        };
        let Ok(content_type) = content_type.to_str() else {
            return false;
        };
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let suffix = essence.rsplit_once('+').map(|(_, suffix)| suffix);
        essence.eq_ignore_ascii_case("application/json")
            || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("json"))
    }
}

impl fmt::Debug for FingerprintInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FingerprintInput")
            .field("method", self.method)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

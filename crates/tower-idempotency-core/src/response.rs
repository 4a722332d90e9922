//! The response that a record keeps, and its stored format.

use std::{fmt, sync::Arc};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{StoreError, StoreErrorKind};

/// The version that heads every encoded header list.
const HEAD_VERSION: u8 = 1;

/// A response as a record keeps it: status, headers in their order, body or no body.
///
/// Header names and values are kept as bytes, duplicates and order included.
/// A store keeps three fields of it:
/// [`status`](Self::status), [`head`](Self::head) and [`body`](Self::body).
/// The format of the head is private and versioned: it is written and read only here.
/// Cloning is cheap: clones share headers and body.
///
/// # Example
///
/// ```
/// use http::{HeaderMap, StatusCode, header};
/// use tower_idempotency_core::StoredResponse;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(header::LOCATION, "/payments/1".parse()?);
/// let response = StoredResponse::new(StatusCode::CREATED, &headers, "made");
///
/// let kept = (response.status().as_u16(), response.head(), response.body().cloned());
/// assert_eq!(StoredResponse::decode(kept.0, &kept.1, kept.2)?, response);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct StoredResponse {
    status: StatusCode,
    headers: Arc<[(HeaderName, HeaderValue)]>,
    body: Option<Bytes>,
}

impl StoredResponse {
    /// Keeps a whole response.
    #[must_use]
    pub fn new(status: StatusCode, headers: &HeaderMap, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: in_order(headers),
            body: Some(body.into()),
        }
    }

    /// Keeps a response whose headers are a selection, in the order in which they are given.
    ///
    /// `body` is `None` for a [`tombstone`](Self::tombstone).
    #[must_use]
    pub fn from_parts(
        status: StatusCode,
        headers: impl Into<Arc<[(HeaderName, HeaderValue)]>>,
        body: Option<Bytes>,
    ) -> Self {
        Self {
            status,
            headers: headers.into(),
            body,
        }
    }

    /// Keeps status and headers of a response whose body is not kept.
    ///
    /// A tombstone says "this was executed": retries get no body, and never a second execution.
    #[must_use]
    pub fn tombstone(status: StatusCode, headers: &HeaderMap) -> Self {
        Self {
            status,
            headers: in_order(headers),
            body: None,
        }
    }

    /// Leaves the body out.
    #[must_use]
    pub fn without_body(self) -> Self {
        Self { body: None, ..self }
    }

    /// Copies the response, so that it holds on to no byte but its own.
    ///
    /// A clone shares its bytes, and bytes that came from elsewhere can be a slice of a buffer that
    /// is much larger. For whoever keeps many responses for long.
    #[must_use]
    pub fn detached(&self) -> Self {
        let own = |value: &HeaderValue| {
            let mut copy =
                HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
            copy.set_sensitive(value.is_sensitive());
            copy
        };
        let headers = self.headers.iter();
        Self {
            status: self.status,
            headers: headers
                .map(|(name, value)| (name.clone(), own(value)))
                .collect(),
            body: self.body.as_deref().map(Bytes::copy_from_slice),
        }
    }

    /// Takes a response back from what a store kept; `body` is `None` for a tombstone.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unreadable`] if the status or the head is not what [`head`](Self::head)
    /// of this or an earlier version wrote.
    pub fn decode(status: u16, head: &[u8], body: Option<Bytes>) -> Result<Self, StoreError> {
        Self::decode_shared(status, Bytes::copy_from_slice(head), body)
    }

    /// As [`decode`](Self::decode); the headers' values are not copied out of `head`.
    pub(crate) fn decode_shared(
        status: u16,
        head: Bytes,
        body: Option<Bytes>,
    ) -> Result<Self, StoreError> {
        let status = StatusCode::from_u16(status).map_err(unreadable)?;
        let headers = decode_head(head)?;
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// Encodes the headers.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "neither 4 billion headers nor one of 4 GiB can have been received"
    )]
    pub fn head(&self) -> Vec<u8> {
        let count = u32::try_from(self.headers.len()).expect("a response has fewer headers");
        let length: usize = self.headers.iter().map(length_in_head).sum();
        let mut head = Vec::with_capacity(5 + length);
        head.push(HEAD_VERSION);
        head.extend_from_slice(&count.to_be_bytes());
        for (name, value) in &*self.headers {
            push_counted(&mut head, name.as_str().as_bytes());
            push_counted(&mut head, value.as_bytes());
        }
        head
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers, in the order in which they were sent.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Returns the body, or `None` for a tombstone.
    #[must_use]
    pub const fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// Tells whether the body was left out.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.body.is_none()
    }

    /// Returns about how many bytes the response takes in a store.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let head: usize = self.headers.iter().map(length_in_head).sum();
        head + self.body.as_ref().map_or(0, Bytes::len)
    }
}

/// Shows the size, not the content: a body is the caller's.
impl fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredResponse")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .finish()
    }
}

fn in_order(headers: &HeaderMap) -> Arc<[(HeaderName, HeaderValue)]> {
    headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn length_in_head((name, value): &(HeaderName, HeaderValue)) -> usize {
    8 + name.as_str().len() + value.len()
}

fn push_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a header is shorter than 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn decode_head(mut head: Bytes) -> Result<Arc<[(HeaderName, HeaderValue)]>, StoreError> {
    let Some(&[HEAD_VERSION, a, b, c, d]) = head.first_chunk() else {
        return Err(unreadable("unknown version of a stored header list"));
    };
    head.advance(5);
    let count = u32::from_be_bytes([a, b, c, d]);
    let mut headers = Vec::with_capacity(count.min(64) as usize);
    for _ in 0..count {
        let name = take_counted(&mut head)?;
        let name = HeaderName::from_bytes(&name).map_err(unreadable)?;
        let value = take_counted(&mut head)?;
        let value = HeaderValue::from_maybe_shared(value).map_err(unreadable)?;
        headers.push((name, value));
    }
    if head.is_empty() {
        Ok(headers.into())
    } else {
        Err(unreadable("a stored header list is too long"))
    }
}

fn take_counted(head: &mut Bytes) -> Result<Bytes, StoreError> {
    let cut = || unreadable("a stored header list is cut off");
    let length = head.try_get_u32().map_err(|_| cut())?;
    let length = usize::try_from(length).map_err(unreadable)?;
    if length > head.len() {
        return Err(cut());
    }
    Ok(head.split_to(length))
}

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::new(StoreErrorKind::Unreadable, source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response() -> StoredResponse {
        let mut headers = HeaderMap::new();
        headers.append("link", HeaderValue::from_static("<a>; rel=a"));
        headers.append("link", HeaderValue::from_static("<b>; rel=b"));
        headers.append("x-bytes", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        StoredResponse::new(StatusCode::CREATED, &headers, vec![0, 255])
    }

    #[test]
    fn a_response_survives_its_encoding() {
        let response = response();
        let decoded = StoredResponse::decode(201, &response.head(), response.body().cloned());
        assert_eq!(decoded.unwrap(), response);
    }

    #[test]
    fn a_detached_response_is_equal_and_shares_no_bytes() {
        let large = Bytes::from(vec![7; 4096]);
        let response = StoredResponse::new(StatusCode::OK, &HeaderMap::new(), large.slice(8..16));
        let detached = response.detached();
        assert_eq!(detached, response);
        drop(response);
        assert!(large.is_unique());
    }

    #[test]
    fn a_head_cut_anywhere_or_prolonged_is_unreadable() {
        let mut head = response().head();
        for end in 0..head.len() {
            let decoded = StoredResponse::decode(200, &head[..end], None);
            assert!(decoded.is_err(), "cut at {end}");
        }
        head.push(0);
        assert!(StoredResponse::decode(200, &head, None).is_err());
    }

    #[test]
    fn an_unknown_version_is_unreadable() {
        let mut head = response().head();
        head[0] = 200;
        let error = StoredResponse::decode(200, &head, None).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unreadable);
    }

    #[test]
    fn debug_output_hides_headers_and_body() {
        let shown = format!("{:?}", response());
        assert!(!shown.contains("rel=a"), "{shown}");
    }
}

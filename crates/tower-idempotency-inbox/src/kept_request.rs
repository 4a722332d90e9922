//! The form in which the head of a request is kept.

use std::str::FromStr;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, PROXY_AUTHORIZATION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use crate::{InboxError, error::InboxErrorKind};

/// Raised when the form changes.
const VERSION: u8 = 1;

/// What belongs to the connection, or is a credential: the sender's signature was checked outside
/// of the inbox, and whoever reads the table must not be able to act as the sender.
const NEVER_KEPT: [HeaderName; 10] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Tells whether a header may be kept.
pub(crate) fn is_kept(name: &HeaderName, forbidden: &[HeaderName]) -> bool {
    let text = name.as_str();
    // `X-Hub-Signature-256`, `Stripe-Signature`, `X-Shopify-Hmac-Sha256`, `X-Gitlab-Token`, ..
    let is_proof = ["signature", "hmac", "token", "secret", "api-key"]
        .iter()
        .any(|word| text.contains(word));
    !is_proof && !NEVER_KEPT.contains(name) && !forbidden.contains(name)
}

/// Writes the headers that may be kept: each with the lengths of its name and of its value.
pub(crate) fn encode(headers: &HeaderMap, forbidden: &[HeaderName]) -> Vec<u8> {
    let mut head = vec![VERSION];
    let kept = headers.iter().filter(|(name, _)| is_kept(name, forbidden));
    for (name, value) in kept {
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            head.extend_from_slice(&(part.len() as u64).to_be_bytes());
            head.extend_from_slice(part);
        }
    }
    head
}

/// Makes the request again.
pub(crate) fn decode(
    method: &str,
    target: &str,
    head: &[u8],
    body: Bytes,
) -> Result<Request<Bytes>, InboxError> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_str(method).map_err(unreadable)?;
    *request.uri_mut() = Uri::from_str(target).map_err(unreadable)?;
    *request.headers_mut() = decode_headers(head)?;
    Ok(request)
}

fn decode_headers(head: &[u8]) -> Result<HeaderMap, InboxError> {
    let Some((&VERSION, mut rest)) = head.split_first() else {
        return Err(unreadable("the form of the headers is unknown"));
    };
    let mut headers = HeaderMap::new();
    while !rest.is_empty() {
        let name = HeaderName::from_bytes(part(&mut rest)?).map_err(unreadable)?;
        let value = HeaderValue::from_bytes(part(&mut rest)?).map_err(unreadable)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], InboxError> {
    let cut = || unreadable("the headers are cut off");
    let (length, behind) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(unreadable)?;
    let (part, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
    *rest = behind;
    Ok(part)
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> InboxError {
    InboxError::new(InboxErrorKind::Unreadable, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn headers_come_back_in_number_and_order() {
        let sent = headers(&[("x-a", "1"), ("x-b", ""), ("x-a", "2")]);
        let request = decode("POST", "/hooks?a=b", &encode(&sent, &[]), Bytes::new()).unwrap();
        assert_eq!(request.headers(), &sent);
        assert_eq!(request.uri(), "/hooks?a=b");
    }

    #[test]
    fn credentials_and_proofs_are_not_kept() {
        let sent = headers(&[
            ("authorization", "Bearer s3cret"),
            ("x-hub-signature-256", "s3cret"),
            ("x-gitlab-token", "s3cret"),
            ("x-own", "s3cret"),
            ("x-github-event", "push"),
        ]);
        let head = encode(&sent, &[HeaderName::from_static("x-own")]);
        assert!(!String::from_utf8_lossy(&head).contains("s3cret"));
        assert_eq!(decode_headers(&head).unwrap().len(), 1);
    }

    #[test]
    fn what_is_cut_off_or_of_another_version_is_an_error() {
        let head = encode(&headers(&[("x-a", "1")]), &[]);
        for broken in [&head[..head.len() - 1], &head[..3], &[9], &[]] {
            let error = decode_headers(broken).unwrap_err();
            assert_eq!(error.kind(), InboxErrorKind::Unreadable);
        }
    }
}

//! A digest of the request that a key was first used with.
//!
//! A key names one operation. If it comes back with another request, the
//! client has a bug, and replaying the first response would hide it; comparing
//! fingerprints finds it, and the answer is 422. The store keeps only the
//! digest, never the request.
//!
//! 1. [`FingerprintPolicy`] says what of a request counts. By default that is
//!    the method, the original path and query, the content type and the body.
//! 2. [`FingerprintPolicy::fingerprint`] makes the [`Fingerprint`].
//! 3. [`Fingerprint::matches`] compares it with the stored one.
//!
//! # Guarantees
//!
//! Everything that is digested carries its length, and every option of the
//! policy is digested too. Two requests with one fingerprint are therefore
//! either the same as far as the policy looks, or a collision of SHA-256.
//!
//! # Deployment caveats
//!
//! A changed policy or secret makes other fingerprints. Requests that began
//! under the old one and are retried under the new one are answered 422, until
//! the retention of their records has passed.
//!
//! A plain digest of a request with few possible contents can be guessed by
//! whoever can read the store. [`FingerprintPolicy::secret`] prevents that.
//!
//! # Example
//!
//! ```
//! use http::{HeaderMap, Method, Uri};
//! use tower_idempotency_core::fingerprint::{FingerprintInput, FingerprintPolicy};
//!
//! let (method, headers) = (Method::POST, HeaderMap::new());
//! let target = Uri::from_static("/payments");
//! let request = |body| FingerprintInput {
//!     method: &method,
//!     target: &target,
//!     headers: &headers,
//!     body,
//! };
//!
//! let policy = FingerprintPolicy::default();
//! let first = policy.fingerprint(&request(b"amount=1"));
//! let retry = policy.fingerprint(&request(b"amount=1"));
//! let misuse = policy.fingerprint(&request(b"amount=2"));
//!
//! assert!(retry.matches(&first));
//! assert!(!misuse.matches(&first));
//! ```
//!
//! # Customizing
//!
//! A client that sends the time of each attempt and an object whose members
//! change their order can still retry:
//!
//! ```
//! use http::{HeaderMap, HeaderValue, Method, Uri, header::CONTENT_TYPE};
//! use tower_idempotency_core::fingerprint::{FingerprintInput, FingerprintPolicy};
//!
//! let policy = FingerprintPolicy::default()
//!     .exclude_json(["/sent_at"])?
//!     .canonical_json();
//!
//! let mut headers = HeaderMap::new();
//! headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
//! let target = Uri::from_static("/payments");
//! let fingerprint = |body| {
//!     policy.fingerprint(&FingerprintInput {
//!         method: &Method::POST,
//!         target: &target,
//!         headers: &headers,
//!         body,
//!     })
//! };
//!
//! let first = fingerprint(br#"{"amount": 1, "to": "b", "sent_at": 10}"#);
//! let retry = fingerprint(br#"{"to": "b", "amount": 1, "sent_at": 20}"#);
//! let misuse = fingerprint(br#"{"to": "c", "amount": 1, "sent_at": 20}"#);
//!
//! assert!(retry.matches(&first));
//! assert!(!misuse.matches(&first));
//! # Ok::<(), tower_idempotency_core::fingerprint::PointerError>(())
//! ```

mod canonical;
mod digest;
mod encoder;
mod input;
mod json;
mod pointer;
mod policy;

#[cfg(test)]
mod tests;

pub use self::{
    digest::Fingerprint,
    input::FingerprintInput,
    pointer::{JsonPointer, PointerError, PointerErrorKind},
    policy::FingerprintPolicy,
};

//! Whoever knows which keys were issued.

use std::{future::Future, pin::Pin, time::Duration};

use http::request::Parts;
use tower_idempotency_core::IdempotencyKey;

use crate::BoxError;

/// Whoever has issued keys, and knows them again.
///
/// [`SignedKeys`](crate::SignedKeys) is one that keeps nothing. Write your own where keys are rows
/// of a table, so that they can be listed and revoked.
///
/// # Example
///
/// ```
/// use std::{collections::HashMap, convert::Infallible, time::Duration};
/// use http::request::Parts;
/// use tower_idempotency::{IdempotencyKey, KeyIssuer, KeyStanding};
///
/// /// How long each invite lasts; a real one asks its database.
/// struct Invites(HashMap<String, Duration>);
///
/// impl KeyIssuer for Invites {
///     type Error = Infallible;
///
///     async fn standing(
///         &self,
///         key: &IdempotencyKey,
///         _request: &Parts,
///     ) -> Result<KeyStanding, Infallible> {
///         Ok(match self.0.get(key.as_str()) {
///             None => KeyStanding::Unknown,
///             Some(&Duration::ZERO) => KeyStanding::Expired,
///             Some(&left) => KeyStanding::Valid { remaining: Some(left) },
///         })
///     }
/// }
/// # let _ = Invites(HashMap::new());
/// ```
pub trait KeyIssuer: Send + Sync + 'static {
    /// Why a key could not be looked up.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>>;

    /// Says what it knows of a key, before anything is claimed.
    ///
    /// It is asked about every request with a key, retries included. Whether the key was used
    /// is the layer's to know: a key that was used and has not expired is still
    /// [`Valid`](KeyStanding::Valid). Where a key is one person's only, compare it with the head of
    /// the request, and answer [`Unknown`](KeyStanding::Unknown) to everybody else.
    ///
    /// # Errors
    ///
    /// Whatever kept it from finding out; the client is answered 503 and may come again. Bound the
    /// time that it takes: the layer does not.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when the client goes away, so it must not change anything.
    fn standing(
        &self,
        key: &IdempotencyKey,
        request: &Parts,
    ) -> impl Future<Output = Result<KeyStanding, Self::Error>> + Send;
}

/// What an issuer says of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyStanding {
    /// It was issued and can be used.
    Valid {
        /// How long it still can; `None` for ever, and then its record is kept for ever too.
        remaining: Option<Duration>,
    },
    /// Its time is over: 410, unless the layer has its record.
    Expired,
    /// It was used outside of the layer: 409, unless the layer has its record.
    Used,
    /// It was never issued, it was revoked, or it is not for this request: 400, whether or not the
    /// layer has its record.
    Unknown,
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<KeyStanding, BoxError>> + Send + 'a>>;

/// An issuer of any type.
pub(super) trait AnyIssuer: Send + Sync {
    fn ask<'a>(&'a self, key: &'a IdempotencyKey, request: &'a Parts) -> Asked<'a>;
}

impl<I: KeyIssuer> AnyIssuer for I {
    fn ask<'a>(&'a self, key: &'a IdempotencyKey, request: &'a Parts) -> Asked<'a> {
        Box::pin(async move { self.standing(key, request).await.map_err(Into::into) })
    }
}

use std::{fmt, sync::Arc};

use http::{HeaderName, header, request::Parts};
use tower_idempotency_core::ConfigError;

use crate::digest::hex_digest;

/// Who a request belongs to: the part of the scope that keeps callers apart.
///
/// There is no default, since a default would let one caller read another's response.
/// A request for which the principal yields nothing is refused with 403
/// `IDEMPOTENCY_SCOPE_MISSING`; it never shares a space with others.
///
/// Name the user or the tenant, not the token: a refreshed token must still find its key.
///
/// # Example
///
/// ```
/// use tower_idempotency::Principal;
///
/// #[derive(Clone)]
/// struct CurrentUser { id: u64 }
///
/// let principal = Principal::extension(|user: &CurrentUser| user.id.to_string());
/// # let _ = principal;
/// ```
#[derive(Clone)]
pub struct Principal(Kind);

type Extract = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;

#[derive(Clone)]
enum Kind {
    Public,
    Header(Result<HeaderName, String>),
    Function(Extract),
}

impl Principal {
    /// Takes the principal from a request extension that an outer layer has set
    /// (an authentication layer, usually).
    ///
    /// This is the way to choose: what is in the extensions has been verified.
    pub fn extension<T: Send + Sync + 'static>(
        name: impl Fn(&T) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::from_fn(move |parts| parts.extensions.get::<T>().map(&name))
    }

    /// Takes the principal from a request header, if it is there exactly once and not empty.
    ///
    /// Choose it only for a header that a trusted proxy sets and strips from outside.
    /// The value of a credential (`Authorization`, `Cookie`, `Proxy-Authorization`) is replaced
    /// by its digest, so that no secret is kept; a refreshed token is then another principal.
    pub fn header(name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        Self(Kind::Header(
            HeaderName::try_from(name).map_err(|_| name.to_owned()),
        ))
    }

    /// Puts all callers into one shared space.
    ///
    /// Choose it only where every caller may see every response:
    /// an internal endpoint with one client, a public form whose keys cannot be guessed.
    #[must_use]
    pub const fn public() -> Self {
        Self(Kind::Public)
    }

    /// Computes the principal from the head of the request.
    ///
    /// `None` refuses the request.
    pub fn from_fn(extract: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Kind::Function(Arc::new(extract)))
    }

    pub(crate) fn of(&self, parts: &Parts) -> Option<Arc<str>> {
        match &self.0 {
            Kind::Public => Some(Arc::default()),
            Kind::Header(Ok(name)) => from_header(name, parts),
            Kind::Header(Err(_)) => None,
            Kind::Function(extract) => extract(parts)
                .filter(|principal| !principal.is_empty())
                .map(Arc::from),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match &self.0 {
            Kind::Header(Err(name)) => Err(ConfigError::new(
                "principal header",
                format!("{name:?}"),
                "must be a valid header name",
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Public => f.write_str("Principal::public()"),
            Kind::Header(name) => f.debug_tuple("Principal::header").field(name).finish(),
            Kind::Function(_) => f.write_str("Principal(<fn>)"),
        }
    }
}

fn from_header(name: &HeaderName, parts: &Parts) -> Option<Arc<str>> {
    let mut values = parts.headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let value = value.as_bytes();
    if value.is_empty() {
        return None;
    }
    if is_credential(name) {
        return Some(hex_digest(value));
    }
    std::str::from_utf8(value).ok().map(Arc::from)
}

fn is_credential(name: &HeaderName) -> bool {
    [
        header::AUTHORIZATION,
        header::COOKIE,
        header::PROXY_AUTHORIZATION,
    ]
    .contains(name)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_credential_is_never_kept_in_the_clear() {
        let principal = Principal::header("authorization")
            .of(&parts(&[("authorization", "Bearer s3cret")]))
            .unwrap();
        assert!(!principal.contains("s3cret"));
    }

    #[test]
    fn a_repeated_or_empty_header_names_nobody() {
        let principal = Principal::header("x-user");
        assert_eq!(
            principal.of(&parts(&[("x-user", "a"), ("x-user", "b")])),
            None
        );
        assert_eq!(principal.of(&parts(&[("x-user", "")])), None);
        assert_eq!(
            principal.of(&parts(&[("x-user", "a")])).as_deref(),
            Some("a")
        );
    }

    #[test]
    fn an_empty_name_from_a_function_names_nobody() {
        let principal = Principal::from_fn(|_| Some(String::new()));
        assert_eq!(principal.of(&parts(&[])), None);
    }
}

//! Where a request carries its key.

mod body;
mod head;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, request::Parts};
use tower_idempotency_core::{ConfigError, IdempotencyKey, JsonPointer, KeyError, KeySyntax};

type Extract = Arc<dyn Fn(&Parts) -> Option<Result<IdempotencyKey, KeyError>> + Send + Sync>;
type ExtractBody =
    Arc<dyn Fn(&Parts, &Bytes) -> Option<Result<IdempotencyKey, KeyError>> + Send + Sync>;

/// One place where a request may carry its key.
///
/// A layer has a list of them, the `Idempotency-Key` header by default;
/// the first that yields a key wins, and one that holds an invalid key is refused with 400.
///
/// A source that looks into the body makes the layer read the body of every covered request,
/// keyless ones included.
///
/// # Example
///
/// ```
/// use tower_idempotency::KeySource;
///
/// // Webhook senders do not agree on where the key is.
/// let sources = [
///     KeySource::header("X-GitHub-Delivery"),
///     KeySource::json_pointer("/idempotency_key"),
///     KeySource::json_pointer("/data/messageId"),
/// ];
/// # let _ = sources;
/// ```
#[derive(Clone)]
pub struct KeySource(Kind);

#[derive(Clone)]
enum Kind {
    Header(Result<HeaderName, String>),
    PathParameter(String),
    Head(Extract),
    JsonPointer(String),
    FormField(String),
    Body(ExtractBody),
}

/// What a source said of a request's head.
pub(crate) enum Looked {
    Found(Result<IdempotencyKey, KeyError>),
    Nothing,
    NeedsBody,
}

impl KeySource {
    /// The header `Idempotency-Key`: the default.
    #[must_use]
    pub const fn idempotency_key() -> Self {
        Self(Kind::Header(Ok(HeaderName::from_static("idempotency-key"))))
    }

    /// A header of another name: `X-GitHub-Delivery`, `webhook-id`, `PayPal-Request-Id`.
    ///
    /// The value is a structured-field string or, unless the layer is strict, a bare value.
    /// More than one header line is refused.
    pub fn header(name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        Self(Kind::Header(
            HeaderName::try_from(name).map_err(|_| name.to_owned()),
        ))
    }

    /// A member of a JSON body, named by an RFC 6901 pointer: `/data/messageId`.
    ///
    /// A string or a whole number is a key; an absent member or `null` is none;
    /// anything else is refused. A body that is not JSON has no key.
    pub fn json_pointer(pointer: impl Into<String>) -> Self {
        Self(Kind::JsonPointer(pointer.into()))
    }

    /// A field of an `application/x-www-form-urlencoded` body; an empty field is no key.
    pub fn form_field(name: impl Into<String>) -> Self {
        Self(Kind::FormField(name.into()))
    }

    /// A parameter of the matched route: `token` of `/invites/{token}`.
    ///
    /// Needs axum's matched path, hence the feature `axum`.
    pub fn path_parameter(name: impl Into<String>) -> Self {
        Self(Kind::PathParameter(name.into()))
    }

    /// A function of the head of the request.
    pub fn from_fn(
        extract: impl Fn(&Parts) -> Option<Result<IdempotencyKey, KeyError>> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Head(Arc::new(extract)))
    }

    /// A function of the head and the body of the request.
    pub fn from_body_fn(
        extract: impl Fn(&Parts, &Bytes) -> Option<Result<IdempotencyKey, KeyError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Kind::Body(Arc::new(extract)))
    }

    /// Tells whether the headers alone say that there is no key in this place.
    pub(crate) fn is_absent_from(&self, headers: &HeaderMap) -> bool {
        match &self.0 {
            Kind::Header(Ok(name)) => !headers.contains_key(name),
            _ => false,
        }
    }

    /// Looks for the key in the head of a request.
    pub(crate) fn look_at_head(&self, parts: &Parts, syntax: KeySyntax) -> Looked {
        let found = match &self.0 {
            Kind::Header(Ok(name)) => head::header(name, &parts.headers, syntax),
            Kind::Header(Err(_)) => None,
            Kind::PathParameter(name) => head::path_parameter(name, parts),
            Kind::Head(extract) => extract(parts),
            Kind::JsonPointer(_) | Kind::FormField(_) | Kind::Body(_) => return Looked::NeedsBody,
        };
        found.map_or(Looked::Nothing, Looked::Found)
    }

    /// Looks for a key in a request whose body was read, accepting bare header values.
    ///
    /// For layers that key requests by themselves; the layer of this crate does it for you.
    /// `None` says that there is no key in this place.
    ///
    /// # Example
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Request;
    /// use tower_idempotency::KeySource;
    ///
    /// let (parts, ()) = Request::post("/hooks").body(())?.into_parts();
    /// let body = Bytes::from_static(b"{\"id\":\"evt_1\"}");
    /// let key = KeySource::json_pointer("/id").find(&parts, &body);
    /// assert_eq!(key.transpose()?.unwrap().as_str(), "evt_1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn find(&self, parts: &Parts, body: &Bytes) -> Option<Result<IdempotencyKey, KeyError>> {
        self.look_at_request(parts, body, KeySyntax::default())
    }

    /// Checks what was given to the constructor, as building a layer does.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a header name, JSON pointer or field name that cannot be one.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.validate()
    }

    /// Looks for the key in the whole request.
    pub(crate) fn look_at_request(
        &self,
        parts: &Parts,
        body: &Bytes,
        syntax: KeySyntax,
    ) -> Option<Result<IdempotencyKey, KeyError>> {
        match &self.0 {
            Kind::JsonPointer(pointer) => body::json_pointer(pointer, body),
            Kind::FormField(name) => body::form_field(name, &parts.headers, body),
            Kind::Body(extract) => extract(parts, body),
            Kind::Header(_) | Kind::PathParameter(_) | Kind::Head(_) => {
                match self.look_at_head(parts, syntax) {
                    Looked::Found(found) => Some(found),
                    Looked::Nothing | Looked::NeedsBody => None,
                }
            }
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match &self.0 {
            Kind::Header(Err(name)) => Err(ConfigError::new(
                "key source header",
                format!("{name:?}"),
                "must be a valid header name",
            )),
            Kind::JsonPointer(pointer) => match JsonPointer::parse(pointer.as_str()) {
                Ok(_) => Ok(()),
                Err(_) => Err(ConfigError::new(
                    "key source JSON pointer",
                    format!("{pointer:?}"),
                    "must be an RFC 6901 pointer such as \"/data/id\"",
                )),
            },
            Kind::FormField(name) | Kind::PathParameter(name) if name.is_empty() => Err(
                ConfigError::new("key source field", "\"\"", "must have a name"),
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Header(Ok(name)) => write!(f, "header {name}"),
            Kind::Header(Err(name)) => write!(f, "invalid header {name:?}"),
            Kind::PathParameter(name) => write!(f, "path parameter {name}"),
            Kind::JsonPointer(pointer) => write!(f, "JSON pointer {pointer}"),
            Kind::FormField(name) => write!(f, "form field {name}"),
            Kind::Head(_) | Kind::Body(_) => f.write_str("<fn>"),
        }
    }
}

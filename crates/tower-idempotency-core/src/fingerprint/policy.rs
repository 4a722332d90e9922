use std::{fmt, sync::Arc};

use http::{HeaderName, header::CONTENT_TYPE};

use super::{
    Fingerprint, FingerprintInput, JsonPointer, PointerError,
    canonical::JsonOptions,
    encoder::{Encoder, Secret},
    json::Node,
};

/// The signature of a user's own selection.
type Selection = dyn Fn(&FingerprintInput<'_>) -> Vec<u8> + Send + Sync;

/// Which parts of a request must be the same when its key is used again.
///
/// The default is the method, the original path and query, the content type and
/// the body, all byte by byte. Keep it unless correct clients fail with it: a
/// client that retries by sending the same bytes again never does. Each option
/// makes the comparison weaker, except [`header`](Self::header) and
/// [`secret`](Self::secret).
///
/// Two requests with one fingerprint are the same as far as the policy looks,
/// or a collision of SHA-256.
///
/// # Deployment caveats
///
/// Every option is part of the digest. After a change of the policy or its
/// secret, a request that began before it and is retried is answered 422, until
/// the retention of its record has passed.
///
/// A plain digest of a request with few possible contents can be guessed by
/// whoever can read the store. [`secret`](Self::secret) prevents that.
///
/// # Example
///
/// ```
/// use http::{HeaderMap, Method, Uri};
/// use tower_idempotency_core::{FingerprintInput, FingerprintPolicy};
///
/// let (method, headers) = (Method::POST, HeaderMap::new());
/// let target = Uri::from_static("/payments");
/// let request = |body| FingerprintInput {
///     method: &method,
///     target: &target,
///     headers: &headers,
///     body,
/// };
///
/// let policy = FingerprintPolicy::default();
/// let first = policy.fingerprint(&request(b"amount=1"));
/// let retry = policy.fingerprint(&request(b"amount=1"));
/// let misuse = policy.fingerprint(&request(b"amount=2"));
///
/// assert!(retry.matches(&first));
/// assert!(!misuse.matches(&first));
/// ```
///
/// # Example: a body that differs between attempts
///
/// The client sends the time of each attempt, and builds the object from a map
/// whose order changes:
///
/// ```
/// use http::{HeaderMap, HeaderValue, Method, Uri, header::CONTENT_TYPE};
/// use tower_idempotency_core::{FingerprintInput, FingerprintPolicy};
///
/// let policy = FingerprintPolicy::default()
///     .exclude_json(["/sent_at"])?
///     .canonical_json();
///
/// let mut headers = HeaderMap::new();
/// headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
/// let target = Uri::from_static("/payments");
/// let fingerprint = |body| {
///     policy.fingerprint(&FingerprintInput {
///         method: &Method::POST,
///         target: &target,
///         headers: &headers,
///         body,
///     })
/// };
///
/// let first = fingerprint(br#"{"amount": 1, "to": "b", "sent_at": 10}"#);
/// let retry = fingerprint(br#"{"to": "b", "amount": 1, "sent_at": 20}"#);
/// let misuse = fingerprint(br#"{"to": "c", "amount": 1, "sent_at": 20}"#);
///
/// assert!(retry.matches(&first));
/// assert!(!misuse.matches(&first));
/// # Ok::<(), tower_idempotency_core::PointerError>(())
/// ```
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct FingerprintPolicy {
    mode: Mode,
    without_query: bool,
    headers: Vec<HeaderName>,
    json: JsonOptions,
    secret: Option<Secret>,
}

#[derive(Clone, Default)]
enum Mode {
    #[default]
    Request,
    Custom(Arc<Selection>),
    Off,
}

impl FingerprintPolicy {
    /// Leaves the query of the target out. By default it counts.
    ///
    /// Choose this if clients or proxies add parameters that differ between
    /// attempts, such as a signature with a time.
    pub const fn without_query(mut self) -> Self {
        self.without_query = true;
        self
    }

    /// Compares only these values of a JSON body. Called again, it adds more.
    ///
    /// With no pointer at all the whole body counts, which is the default. A
    /// value that is absent differs from `null`. Excluded values do not count
    /// even inside included ones.
    ///
    /// As with every option about JSON, the body is then compared as a
    /// document: whitespace and the choice of escapes no longer count. A number
    /// is its text: `1` and `1.0` differ. A body is compared byte by byte all
    /// the same if its content type is neither `application/json` nor ends in
    /// `+json`, if it is not valid JSON, if an object in it has two members of
    /// one name, or if it is nested more than 64 deep.
    ///
    /// # Errors
    ///
    /// If a text is not a JSON pointer as of RFC 6901.
    pub fn include_json<I>(mut self, pointers: I) -> Result<Self, PointerError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        add_pointers(&mut self.json.include, pointers)?;
        Ok(self)
    }

    /// Leaves these values of a JSON body out. Called again, it adds more.
    ///
    /// A member or an array element that is left out counts as little as one
    /// that is absent. For the rest see [`include_json`](Self::include_json).
    ///
    /// # Errors
    ///
    /// If a text is not a JSON pointer as of RFC 6901.
    pub fn exclude_json<I>(mut self, pointers: I) -> Result<Self, PointerError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        add_pointers(&mut self.json.exclude, pointers)?;
        Ok(self)
    }

    /// Lets the order of the members of JSON objects not count. By default it
    /// does.
    ///
    /// Choose this if clients build the body anew for each attempt, from a map
    /// without a fixed order. For the rest see
    /// [`include_json`](Self::include_json).
    pub const fn canonical_json(mut self) -> Self {
        self.json.canonical = true;
        self
    }

    /// Compares one more header: all its values, in their order, and whether it
    /// is there at all.
    ///
    /// Choose those on which the handler's work depends, such as an API version.
    /// One that differs between attempts, such as `date` or `traceparent`, makes
    /// every retry a mismatch.
    pub fn header(mut self, name: HeaderName) -> Self {
        // The order of configuration has no meaning, so it must not count.
        if let Err(position) = self
            .headers
            .binary_search_by(|n| n.as_str().cmp(name.as_str()))
        {
            self.headers.insert(position, name);
        }
        self
    }

    /// Makes the digest an HMAC-SHA-256 with this secret. By default it is a
    /// plain SHA-256.
    ///
    /// Choose this if the store can be read by somebody who should not be able
    /// to guess what requests contained. Take at least 32 random bytes, the same
    /// on all servers that share a store; an empty secret protects nothing.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secret = Some(Secret::new(secret.as_ref()));
        self
    }

    /// Compares the bytes that a function selects, and nothing else. The
    /// options about query, JSON and headers have no effect then; the secret
    /// has.
    ///
    /// The function must return the same for every attempt of one operation,
    /// on every server. Whatever it joins should be separated unambiguously.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_idempotency_core::FingerprintPolicy;
    ///
    /// // The boundary of a multipart body differs between attempts, so compare
    /// // the digest that the client sends along.
    /// let policy = FingerprintPolicy::default().custom(|input| {
    ///     let digest = input.headers.get("content-digest");
    ///     digest.map(|value| value.as_bytes().to_vec()).unwrap_or_default()
    /// });
    /// # let _ = policy;
    /// ```
    pub fn custom(
        mut self,
        select: impl Fn(&FingerprintInput<'_>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.mode = Mode::Custom(Arc::new(select));
        self
    }

    /// Compares nothing: a key is answered with its first response, whatever it
    /// is sent with.
    ///
    /// Choose this only if the key is derived from the request, such as the
    /// number of a webhook delivery.
    pub fn off(mut self) -> Self {
        self.mode = Mode::Off;
        self
    }

    /// The fingerprint of a request.
    ///
    /// Takes time linear in the size of the request, and allocates only for a
    /// JSON body with an option about JSON, or in a custom function.
    #[must_use]
    pub fn fingerprint(&self, input: &FingerprintInput<'_>) -> Fingerprint {
        let mut out = Encoder::new(self.secret.as_ref());
        out.tag(Fingerprint::VERSION);
        match &self.mode {
            Mode::Off => return Fingerprint::OFF,
            Mode::Custom(select) => {
                out.tag(tag::CUSTOM);
                out.bytes(&select(input));
            }
            Mode::Request => {
                out.tag(tag::REQUEST);
                self.encode_options(&mut out);
                self.encode_request(input, &mut out);
            }
        }
        Fingerprint::new(out.finish())
    }

    /// Digests the options, so that what follows can be read in one way only.
    fn encode_options(&self, out: &mut Encoder) {
        out.tag(self.without_query.into());
        self.json.encode(out);
        out.count(self.headers.len());
        for name in &self.headers {
            out.bytes(name.as_str().as_bytes());
        }
    }

    fn encode_request(&self, input: &FingerprintInput<'_>, out: &mut Encoder) {
        out.bytes(input.method.as_str().as_bytes());
        out.bytes(input.target.path().as_bytes());
        if !self.without_query {
            out.optional_bytes(input.target.query().map(str::as_bytes));
        }
        encode_header(input, &CONTENT_TYPE, out);
        for name in &self.headers {
            encode_header(input, name, out);
        }
        self.encode_body(input, out);
    }

    fn encode_body(&self, input: &FingerprintInput<'_>, out: &mut Encoder) {
        if !(self.json.is_any() && input.is_json()) {
            out.tag(tag::BODY_AS_IS);
            return out.bytes(input.body);
        }
        match Node::read(input.body) {
            None => {
                out.tag(tag::BODY_NOT_READ);
                out.bytes(input.body);
            }
            Some(document) => {
                out.tag(tag::BODY_AS_JSON);
                self.json.encode_document(document, out);
            }
        }
    }
}

fn add_pointers<I>(list: &mut Vec<JsonPointer>, pointers: I) -> Result<(), PointerError>
where
    I: IntoIterator<Item: AsRef<str>>,
{
    for pointer in pointers {
        list.push(JsonPointer::parse(pointer.as_ref())?);
    }
    // The order of configuration has no meaning, so it must not count.
    list.sort_unstable();
    list.dedup();
    Ok(())
}

/// Digests all values of a header. None at all is different from an empty one.
fn encode_header(input: &FingerprintInput<'_>, name: &HeaderName, out: &mut Encoder) {
    let values = input.headers.get_all(name);
    out.count(values.iter().count());
    for value in values {
        out.bytes(value.as_bytes());
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "Request",
            Self::Custom(_) => "Custom(<fn>)",
            Self::Off => "Off",
        })
    }
}

mod tag {
    pub(super) const REQUEST: u8 = 1;
    pub(super) const CUSTOM: u8 = 2;

    pub(super) const BODY_AS_IS: u8 = 1;
    pub(super) const BODY_NOT_READ: u8 = 2;
    pub(super) const BODY_AS_JSON: u8 = 3;
}

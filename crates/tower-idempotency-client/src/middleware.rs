//! The middleware of a client.

use async_trait::async_trait;
use http::{Extensions, HeaderName, Method};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};

use crate::{
    Operation, RetryPolicy,
    send::{Rules, send},
};

/// Sends the requests of an [`Operation`] with its key, and again until there is an answer.
///
/// See the [crate docs](crate). Requests without an operation pass through untouched.
///
/// # Order
///
/// Middlewares that are added after this one see every try, those before it the operation as a
/// whole. What can refuse a request, such as one that fetches a token, belongs before it, where
/// its error cannot be taken for a lost answer. There should be no other middleware that retries.
///
/// # Cancel safety
///
/// Dropping the future of `send` cuts the current try off. The server may go on, and the operation
/// stays [in doubt](Operation::is_in_doubt); sending it again is safe.
#[derive(Clone, Debug)]
pub struct IdempotencyMiddleware {
    rules: Rules,
    header: HeaderName,
    keys_every_post: bool,
}

impl IdempotencyMiddleware {
    /// Retries by the default [`RetryPolicy`], and leaves requests without an operation alone.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rules: Rules {
                policy: RetryPolicy::new(),
                watches: true,
            },
            header: HeaderName::from_static("idempotency-key"),
            keys_every_post: false,
        }
    }

    /// Sets how long and how often to try. Default: [`RetryPolicy::new`].
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.rules.policy = policy;
        self
    }

    /// Sets the name of the header that has the key. Default: `Idempotency-Key`.
    ///
    /// For servers that call it something else.
    #[must_use]
    pub fn key_header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// Makes every POST and PATCH without an operation one of its own.
    ///
    /// Default: off, since a server that knows no keys would carry out retries again. Switch it on
    /// for a client that talks to servers that do know them. Such an operation does not outlive
    /// its `send`: where its outcome is unknown, nobody can ask again. Requests that have a key
    /// header by themselves are left alone.
    #[must_use]
    pub const fn key_every_post(mut self) -> Self {
        self.keys_every_post = true;
        self
    }

    /// Leaves bodies as they are, for later middlewares that read them, such as one that signs.
    ///
    /// Default: bodies are watched, to know what was sent. Without it, a try that runs out of its
    /// time while it connects counts as sent, so give the client a short `connect_timeout`. And a
    /// connection that cannot be made counts as not sent, though it may be to an address to which
    /// a server redirects that has carried the request out: let the client follow no redirects.
    #[must_use]
    pub const fn unwatched(mut self) -> Self {
        self.rules.watches = false;
        self
    }

    fn operation(&self, request: &Request, extensions: &Extensions) -> Option<Operation> {
        let given = extensions.get::<Operation>().cloned();
        let is_keyed = || {
            self.keys_every_post
                && [Method::POST, Method::PATCH].contains(request.method())
                && !request.headers().contains_key(&self.header)
        };
        given.or_else(|| is_keyed().then(Operation::new))
    }
}

impl Default for IdempotencyMiddleware {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Middleware for IdempotencyMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let Some(operation) = self.operation(&request, extensions) else {
            return next.run(request, extensions).await;
        };
        let headers = request.headers_mut();
        headers.insert(self.header.clone(), operation.header());
        send(&self.rules, &operation, request, extensions, next).await
    }
}

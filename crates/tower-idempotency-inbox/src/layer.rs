use std::{
    convert::Infallible,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use http_body_util::{Either, Full};
use tower_idempotency::{BoxStore, Idempotency, IdempotencyService, ResponseBody};
use tower_layer::Layer;
use tower_service::Service;

use crate::{BoxError, Trigger, arrival::Arrived, builder::METHODS, inbox::Shared};

/// The body of a response that went through the inbox: its own, or the handler's.
pub type InboxBody<B> = Either<Full<Bytes>, ResponseBody<B>>;

/// Puts the inbox before the handlers of one trigger.
///
/// Made by [`Inbox::layer`](crate::Inbox::layer). With axum, use it with `Router::route_layer` or
/// `Router::layer`; a path that no route matches is no delivery.
#[derive(Clone)]
#[must_use]
pub struct InboxLayer {
    shared: Arc<Shared>,
    trigger: Trigger,
}

impl InboxLayer {
    pub(crate) const fn new(shared: Arc<Shared>, trigger: Trigger) -> Self {
        Self { shared, trigger }
    }
}

impl<S> Layer<S> for InboxLayer {
    type Service = InboxService<S>;

    fn layer(&self, inner: S) -> InboxService<S> {
        InboxService {
            inner: self.shared.guard.layer(inner),
            shared: Arc::clone(&self.shared),
            trigger: self.trigger.clone(),
        }
    }
}

impl fmt::Debug for InboxLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxLayer")
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}

/// Middleware that keeps deliveries and runs each until it succeeded.
///
/// See the [crate docs](crate).
#[must_use]
pub struct InboxService<S> {
    inner: IdempotencyService<S, BoxStore>,
    shared: Arc<Shared>,
    trigger: Trigger,
}

impl<S: Clone> Clone for InboxService<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            trigger: self.trigger.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for InboxService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxService")
            .field("inner", &self.inner)
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}

type Answer<B> = Result<Response<InboxBody<B>>, Infallible>;

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for InboxService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    ReqBody: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    type Response = Response<InboxBody<ResBody>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer<ResBody>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        if !METHODS.contains(&parts.method) || is_unmatched(&parts) {
            let passed = self.inner.call(Request::from_parts(parts, body));
            return Box::pin(async move { Ok(passed.await?.map(Either::Right)) });
        }
        // The key that an outer layer found is not the delivery's.
        parts.extensions.remove::<Idempotency>();
        // `poll_ready` has readied this service, not a clone of it.
        let clone = self.inner.clone();
        let arrived = Arrived {
            inner: mem::replace(&mut self.inner, clone),
            shared: Arc::clone(&self.shared),
            trigger: self.trigger.clone(),
        };
        Box::pin(async move { Ok(arrived.answer(parts, body).await) })
    }
}

/// Tells whether an axum router is about to answer 404 for its own reasons.
#[cfg(feature = "axum")]
fn is_unmatched(parts: &Parts) -> bool {
    use axum::extract::{MatchedPath, OriginalUri};

    let extensions = &parts.extensions;
    extensions.get::<OriginalUri>().is_some() && extensions.get::<MatchedPath>().is_none()
}

/// Returns false: only axum tells.
#[cfg(not(feature = "axum"))]
fn is_unmatched(_: &Parts) -> bool {
    false
}

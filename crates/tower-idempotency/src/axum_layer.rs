//! The layer with axum's own body, so that axum need not put another one around it.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use pin_project_lite::pin_project;
use tower_idempotency_core::Store;
use tower_layer::Layer;
use tower_service::Service;

use crate::{BoxError, IdempotencyLayer, IdempotencyService, ResponseBody, ResponseFuture};

/// An [`IdempotencyLayer`] whose services answer with axum's [`Body`].
///
/// It does what the other one does, for inner services that answer with axum's body, as routers
/// and handlers do. A request that is not covered then costs no allocation: axum allocates for
/// every body that is not its own. Made by [`IdempotencyLayer::for_axum`].
#[must_use]
pub struct AxumLayer<St>(IdempotencyLayer<St>);

/// Middleware that makes retried requests safe and answers with axum's [`Body`].
///
/// See [`AxumLayer`].
#[must_use]
#[derive(Debug)]
pub struct AxumService<S, St>(IdempotencyService<S, St>);

pin_project! {
    /// The response to come of an [`AxumService`].
    ///
    /// Dropping it does not stop an execution that has begun.
    pub struct AxumResponseFuture<F, E> {
        #[pin]
        inner: ResponseFuture<F, Body, E>,
    }
}

impl<St> AxumLayer<St> {
    pub(crate) const fn new(layer: IdempotencyLayer<St>) -> Self {
        Self(layer)
    }
}

impl<St> Clone for AxumLayer<St> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<St> fmt::Debug for AxumLayer<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AxumLayer").field(&self.0).finish()
    }
}

impl<S, St> Layer<S> for AxumLayer<St> {
    type Service = AxumService<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        AxumService(self.0.layer(inner))
    }
}

impl<S: Clone, St> Clone for AxumService<S, St> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, St, ReqBody> Service<Request<ReqBody>> for AxumService<S, St>
where
    S: Service<Request<ReqBody>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: HttpBody<Data = Bytes> + From<Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = AxumResponseFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        AxumResponseFuture {
            inner: self.0.call(request),
        }
    }
}

impl<F, E> fmt::Debug for AxumResponseFuture<F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AxumResponseFuture").finish_non_exhaustive()
    }
}

impl<F, E> Future for AxumResponseFuture<F, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx))?;
        Poll::Ready(Ok(response.map(ResponseBody::into_axum)))
    }
}

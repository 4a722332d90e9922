use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::TryFutureExt;
use http::{Request, Response};
use http_body::Body;
use tower_idempotency_core::Store;
use tower_service::Service;

use crate::{
    BoxError, ResponseBody, ResponseFuture,
    admission::{Admission, admit, passes_by},
    layer::Requirement,
    run,
    shared::Shared,
};

/// Middleware that makes retried requests safe.
///
/// See the [crate docs](crate) for what it does.
#[must_use]
pub struct IdempotencyService<S, St> {
    inner: S,
    shared: Arc<Shared<St>>,
    requirement: Requirement,
}

impl<S, St> IdempotencyService<S, St> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared<St>>, requirement: Requirement) -> Self {
        Self {
            inner,
            shared,
            requirement,
        }
    }

    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives the inner service back.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, St> Clone for IdempotencyService<S, St> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            requirement: self.requirement,
        }
    }
}

impl<S: fmt::Debug, St> fmt::Debug for IdempotencyService<S, St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyService")
            .field("inner", &self.inner)
            .field("requirement", &self.requirement)
            .finish_non_exhaustive()
    }
}

impl<S, St, ReqBody, ResBody> Service<Request<ReqBody>> for IdempotencyService<S, St>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    St: Store,
    ReqBody: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    ReqBody::Error: Into<BoxError>,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if passes_by(&self.shared, self.requirement, &request) {
            return ResponseFuture::passed(self.inner.call(request));
        }
        let (parts, body) = request.into_parts();
        let key = match admit(&self.shared, self.requirement, &parts) {
            Admission::Pass => {
                let request = Request::from_parts(parts, body);
                return ResponseFuture::passed(self.inner.call(request));
            }
            Admission::Refuse(problem) => {
                let refusal = self.shared.refuse(&problem);
                let translation = self.shared.settings.renderer.translation(&parts.headers);
                return ResponseFuture::refused(match translation {
                    Some(translation) => translation.of(refusal),
                    None => refusal,
                });
            }
            Admission::Keyed(key) => Some(key),
            Admission::ReadBody => None,
        };
        // `poll_ready` has readied this service, not a clone of it: see "Be careful when cloning
        // inner services" in the documentation of `tower::Service`.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let translation = self.shared.settings.renderer.translation(&parts.headers);
        let guarded = run::Guarded {
            shared: Arc::clone(&self.shared),
            requirement: self.requirement,
            inner,
        };
        let answer = guarded.run(parts, body, key);
        match translation {
            None => ResponseFuture::guarded(answer),
            Some(translation) => {
                ResponseFuture::guarded(answer.map_ok(|answer| translation.of(answer)))
            }
        }
    }
}

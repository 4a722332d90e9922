//! Running the handler, once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{FutureExt, TryFutureExt, future::OptionFuture};
use http::{Extensions, Request, Response};
use http_body::Body;
use tower_idempotency_core::{Execution, Store};
use tower_service::Service;

use super::{
    Executed, Job,
    capture::Captured,
    heartbeat::Heartbeat,
    settle::{Ended, Settling},
};
use crate::Idempotency;

/// What something came to that may have panicked.
type Caught<T> = std::thread::Result<T>;

/// What a handler's work came to.
type Worked<B, E> = Option<Caught<Result<Captured<B>, E>>>;

impl<S, St: Store> Job<S, St> {
    /// Runs the handler under the lease and settles the execution before it answers.
    pub(super) async fn execute<ReqBody, B>(
        &mut self,
        mut execution: St::Execution,
        may_run_again: bool,
    ) -> Result<Executed<B>, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<B>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        ReqBody: From<Bytes> + Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        let (work, handle) = self.begin(&mut execution, may_run_again);
        let ended = {
            let work = pin!(work);
            let heartbeat = Heartbeat {
                id: self.claim.id,
                lease: self.claim.lease,
                in_task: &self.in_task,
            };
            match heartbeat.keep_alive(&mut execution, work).await {
                Some(Ok(Ok(captured))) => Ended::Answered(captured),
                Some(Ok(Err(error))) => Ended::Failed(error),
                Some(Err(_)) | None => Ended::Panicked,
            }
        };
        let settling = Box::new(Settling {
            shared: &self.guarded.shared,
            execution,
            id: self.claim.id,
            fingerprint: self.claim.fingerprint,
            wishes: handle.wishes(),
            may_run_again,
        });
        settling.settle(ended).await
    }

    /// Calls the handler, and returns the handle that it is given.
    ///
    /// The request is kept for another run only if there may be one. It is handled here and not in
    /// the future, which would keep a place for it to the end.
    fn begin<ReqBody, B>(
        &mut self,
        execution: &mut St::Execution,
        may_run_again: bool,
    ) -> (
        impl Future<Output = Worked<B, S::Error>> + use<S, St, ReqBody, B>,
        Idempotency,
    )
    where
        S: Service<Request<ReqBody>, Response = Response<B>>,
        ReqBody: From<Bytes>,
        B: Body<Data = Bytes>,
    {
        let mut request = if may_run_again {
            self.request.clone()
        } else {
            std::mem::take(&mut self.request)
        };
        let handle = self.prepare(request.extensions_mut(), execution);
        (self.call(request), handle)
    }

    /// Calls the handler and captures its response; `None` and `Some(Err)` say that it panicked,
    /// which must not take the lease with it: the key is given up at once instead.
    ///
    /// No async block: it would have places of its own for the request and for every step.
    fn call<ReqBody, B>(
        &mut self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Worked<B, S::Error>> + use<S, St, ReqBody, B>
    where
        S: Service<Request<ReqBody>, Response = Response<B>>,
        ReqBody: From<Bytes>,
        B: Body<Data = Bytes>,
    {
        let cap = self.guarded.shared.settings.max_response_bytes;
        let inner = &mut self.guarded.inner;
        let request = request.map(ReqBody::from);
        let response = catch_unwind(AssertUnwindSafe(|| inner.call(request))).ok();
        OptionFuture::from(response.map(|response| {
            let work = response.and_then(move |response| Captured::read(response, cap).map(Ok));
            AssertUnwindSafe(work).catch_unwind()
        }))
    }

    /// Puts into the request what the handler may take.
    fn prepare(&self, extensions: &mut Extensions, execution: &mut St::Execution) -> Idempotency {
        let mut granted = Extensions::new();
        execution.install(&mut granted);
        execution.install(extensions);
        let handle = Idempotency::new(
            self.claim.key.clone(),
            self.claim.id,
            execution.attempt(),
            Arc::clone(&self.guarded.shared.settings),
            granted,
            execution.steps(),
        );
        if self.life.is_some() {
            handle.outlast(self.life);
        }
        extensions.insert(handle.clone());
        handle
    }
}

//! Running the handler, once.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
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

impl<S, St: Store> Job<S, St> {
    /// Runs the handler under the lease and settles the execution before it answers.
    ///
    /// The request is kept for another run only if there may be one.
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
        let shared = Arc::clone(&self.guarded.shared);
        let request = if may_run_again {
            self.request.clone()
        } else {
            std::mem::take(&mut self.request)
        };
        let (request, handle) = self.prepare(request.map(ReqBody::from), &mut execution);

        // A panic must not take the lease with it: the key is given up at once instead.
        let ended = match self.call(request) {
            Err(Panicked) => Ended::Panicked,
            Ok(response) => {
                let work = answer(response, shared.settings.max_response_bytes);
                let work = pin!(AssertUnwindSafe(work).catch_unwind());
                let heartbeat = Heartbeat {
                    id: self.claim.id,
                    lease: self.claim.lease,
                    in_task: &self.in_task,
                };
                match heartbeat.keep_alive(&mut execution, work).await {
                    Ok(Ok(captured)) => Ended::Answered(captured),
                    Ok(Err(error)) => Ended::Failed(error),
                    Err(_) => Ended::Panicked,
                }
            }
        };
        let settling = Box::new(Settling {
            shared,
            execution,
            id: self.claim.id,
            fingerprint: self.claim.fingerprint,
            wishes: handle.wishes(),
            may_run_again,
        });
        settling.settle(ended).await
    }

    /// Calls the handler; the request is then no part of the future that waits for its response.
    fn call<ReqBody>(&mut self, request: Request<ReqBody>) -> Result<S::Future, Panicked>
    where
        S: Service<Request<ReqBody>>,
    {
        catch_unwind(AssertUnwindSafe(|| self.guarded.inner.call(request))).map_err(|_| Panicked)
    }

    /// Puts into the request what the handler may take.
    fn prepare<ReqBody>(
        &self,
        mut request: Request<ReqBody>,
        execution: &mut St::Execution,
    ) -> (Request<ReqBody>, Idempotency) {
        let mut granted = Extensions::new();
        execution.install(&mut granted);
        let handle = Idempotency::new(
            self.claim.key.clone(),
            self.claim.id,
            execution.attempt(),
            Arc::clone(&self.guarded.shared.settings),
            granted.clone(),
            execution.steps(),
        );
        if self.life.is_some() {
            handle.outlast(self.life);
        }
        let extensions = request.extensions_mut();
        extensions.extend(granted);
        extensions.insert(handle.clone());
        (request, handle)
    }
}

/// The handler panicked before it had returned a future.
struct Panicked;

async fn answer<B, E>(
    response: impl Future<Output = Result<Response<B>, E>>,
    cap: usize,
) -> Result<Captured<B>, E>
where
    B: Body<Data = Bytes>,
{
    Ok(Captured::read(response.await?, cap).await)
}

//! Running the handler, once.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use tower_idempotency_core::{Execution, Store};
use tower_service::Service;

use super::{
    Job,
    capture::Captured,
    heartbeat::keep_alive,
    settle::{Ended, Settling},
};
use crate::{Idempotency, ResponseBody};

impl<S, St: Store> Job<S, St> {
    /// Runs the handler under the lease and settles the execution before it answers.
    pub(super) async fn execute<ReqBody, B>(
        self,
        mut execution: St::Execution,
    ) -> Result<Response<ResponseBody<B>>, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<B>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        ReqBody: From<Bytes> + Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        let shared = Arc::clone(&self.guarded.shared);
        let handle = Idempotency::new(self.claim.key.clone(), execution.attempt());
        let mut request = self.request.map(ReqBody::from);
        request.extensions_mut().insert(handle.clone());
        execution.install(request.extensions_mut());

        let cap = shared.settings.max_response_bytes;
        let mut inner = self.guarded.inner;
        let work = async move {
            let response = inner.call(request).await?;
            Ok(Captured::read(response, cap).await)
        };
        // A panic must not take the lease with it: the key is given up at once instead.
        let work = AssertUnwindSafe(work).catch_unwind();
        let id = self.claim.id;
        let ended = match keep_alive(&mut execution, self.claim.lease, id, work).await {
            Ok(Ok(captured)) => Ended::Answered(Box::new(captured)),
            Ok(Err(error)) => Ended::Failed(error),
            Err(_) => Ended::Panicked,
        };
        let settling = Settling {
            shared,
            execution,
            id,
            wishes: handle.wishes(),
        };
        settling.settle(ended).await
    }
}

//! The way of a delivery that has just arrived.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, request::Parts, uri::PathAndQuery};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_idempotency::{BoxStore, IdempotencyKey, IdempotencyService, Scope};
use tower_idempotency_core::RecordId;
use tower_service::Service;
use tracing::Instrument;

use crate::{
    BoxError, DeliveryId, InboxError, Trigger, answer,
    attempt::{Attempt, Attempted},
    deliveries::{Arrival, Kept},
    error::chain,
    inbox::Shared,
    kept_request,
    layer::InboxBody,
};

/// A request at a trigger, and what serves it.
pub(crate) struct Arrived<S> {
    pub(crate) inner: IdempotencyService<S, BoxStore>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) trigger: Trigger,
}

impl<S> Arrived<S> {
    pub(crate) async fn answer<ReqBody, B>(
        self,
        mut parts: Parts,
        body: ReqBody,
    ) -> Response<InboxBody<B>>
    where
        S: Service<Request<ReqBody>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        ReqBody: Body<Data = Bytes> + From<Bytes> + Send + 'static,
        ReqBody::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        let body = match read(body, self.shared.settings.max_request_bytes).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        // Extensions never leave the process: only a worker can have put this one there.
        let begun = parts.extensions.remove::<Attempted>();
        if let Some(attempted) = begun.filter(|it| it.trigger == *self.trigger.id()) {
            let request = Request::from_parts(parts, body);
            return self.attempt(attempted, request).run().await;
        }
        let key = self.trigger.key(&parts, &body);
        let id = DeliveryId::random();
        match keep(
            &self.shared,
            &self.trigger,
            (id, key.as_ref()),
            &parts,
            &body,
        )
        .await
        {
            Ok(Kept::New) => {}
            Ok(Kept::Duplicate) => {
                self.log_duplicate(key.as_ref());
                return answer::duplicate();
            }
            Err(error) => {
                let (trigger, error) = (&**self.trigger.id(), chain(&error));
                tracing::error!(trigger, error, "a delivery could not be kept");
                return answer::not_kept();
            }
        }
        let attempted = Attempted {
            id,
            trigger: Arc::clone(self.trigger.id()),
            attempt: 1,
        };
        let attempts = self.shared.attempts.clone();
        let attempt = self.attempt(attempted, Request::from_parts(parts, body));
        // From here on the inbox has it, whether the sender waits for the answer or not.
        attempts
            .spawn(attempt.run::<ReqBody, B>().in_current_span())
            .await
            .unwrap_or_else(|_| answer::accepted())
    }

    fn attempt(self, attempted: Attempted, request: Request<Bytes>) -> Attempt<S> {
        Attempt {
            inner: self.inner,
            shared: self.shared,
            attempted,
            request,
        }
    }

    /// Names the key by a digest only.
    fn log_duplicate(&self, key: Option<&IdempotencyKey>) {
        let trigger = self.trigger.id();
        if let Some(key) = key {
            let record = RecordId::new(&Scope::new(Arc::clone(trigger), "webhook"), key);
            tracing::info!(%trigger, %record, "a duplicate was acknowledged and not run");
        }
    }
}

/// Keeps an arrival, unless it is a duplicate.
async fn keep(
    shared: &Shared,
    trigger: &Trigger,
    (id, key): (DeliveryId, Option<&IdempotencyKey>),
    parts: &Parts,
    body: &Bytes,
) -> Result<Kept, InboxError> {
    let settings = &shared.settings;
    let target = parts.uri.path_and_query();
    let arrival = Arrival {
        id,
        trigger: trigger.id(),
        key: key.map(IdempotencyKey::as_str),
        method: parts.method.as_str(),
        target: target.map_or("/", PathAndQuery::as_str),
        head: &kept_request::encode(&parts.headers, settings.forbidden_headers()),
        body,
        attempts_allowed: settings.retry.attempts,
        patience: settings.patience(),
    };
    shared.deliveries.keep(&arrival).await
}

/// Reads a body up to the cap.
async fn read<ReqBody, B>(body: ReqBody, cap: usize) -> Result<Bytes, Response<InboxBody<B>>>
where
    ReqBody: Body<Data = Bytes>,
    ReqBody::Error: Into<BoxError>,
    B: Body,
{
    let body = std::pin::pin!(body);
    match Limited::new(body, cap).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(answer::too_large()),
        Err(_) => Err(answer::unreadable()),
    }
}

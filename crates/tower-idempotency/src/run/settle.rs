//! Settling an execution, and only then answering.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use tower_idempotency_core::{
    Completed, Execution, Failure, RecordId, Release, Settled, Store, StoredResponse,
};

use super::{
    capture::{Captured, CapturedBody},
    in_progress, later, replay,
};
use crate::{
    Outcome, ProblemCode, ResponseBody, Settlement, handle::Wishes, settings::Settings,
    shared::Shared,
};

/// How the handler ended.
pub(super) enum Ended<B: Body, E> {
    Answered(Box<Captured<B>>),
    Failed(E),
    Panicked,
}

/// What becomes of the key.
enum Verdict {
    Keep(Completed),
    Release(Release),
}

/// What became of the key.
enum Settledness {
    /// As the verdict said, or nearly so.
    Ours(Settlement),
    /// Somebody else has taken the key over.
    Stale,
}

/// An execution at its end.
pub(super) struct Settling<St: Store> {
    pub(super) shared: Arc<Shared<St>>,
    pub(super) execution: St::Execution,
    pub(super) id: RecordId,
    pub(super) wishes: Wishes,
}

impl<St: Store> Settling<St> {
    /// Completes or releases the key, then makes the client's answer.
    pub(super) async fn settle<B, E>(
        self,
        ended: Ended<B, E>,
    ) -> Result<Response<ResponseBody<B>>, E>
    where
        B: Body<Data = Bytes>,
    {
        let shared = Arc::clone(&self.shared);
        let id = self.id;
        match ended {
            Ended::Answered(captured) => {
                let verdict = verdict(&shared.settings, self.wishes, &captured);
                let settledness = self.carry_out(verdict).await;
                Ok(answer(&shared, id, settledness, captured.into_response()).await)
            }
            Ended::Failed(error) => {
                let failure = Failure::transient("the service failed without a response");
                let _ = self
                    .carry_out(Verdict::Release(Release::Failed(failure)))
                    .await;
                shared.announce(Outcome::Executed(Settlement::Released));
                Err(error)
            }
            Ended::Panicked => {
                tracing::error!(record = %id, "a handler panicked");
                let response = shared.render(&shared.problem(ProblemCode::HandlerPanicked));
                let settledness = self
                    .carry_out(panic_verdict(&shared.settings, &response))
                    .await;
                let response = response.map(|bytes| ResponseBody::whole(bytes, None));
                Ok(answer(&shared, id, settledness, response).await)
            }
        }
    }

    async fn carry_out(mut self, verdict: Verdict) -> Settledness {
        let settledness = match verdict {
            Verdict::Keep(completed) => match self.execution.complete(&completed).await {
                Ok(Settled::Applied) if completed.response.is_tombstone() => {
                    Settledness::Ours(Settlement::Tombstone)
                }
                Ok(Settled::Applied) => Settledness::Ours(Settlement::Stored),
                Ok(Settled::Stale) => Settledness::Stale,
                Err(error) => {
                    let error = crate::log::chain(&error);
                    tracing::error!(record = %self.id, error, "a response could not be stored yet");
                    later::complete_later(self.shared, self.execution, self.id, completed);
                    return Settledness::Ours(Settlement::Pending);
                }
            },
            Verdict::Release(release) => match self.execution.release(&release).await {
                Ok(Settled::Applied) => Settledness::Ours(Settlement::Released),
                Ok(Settled::Stale) => Settledness::Stale,
                Err(error) => {
                    let error = crate::log::chain(&error);
                    tracing::warn!(record = %self.id, error, "a key is free only when its lease ends");
                    Settledness::Ours(Settlement::Released)
                }
            },
        };
        self.shared.runtime.wakers.wake(&self.id);
        settledness
    }
}

/// Makes the client's answer of the handler's response and what became of the key.
async fn answer<St: Store, B: Body>(
    shared: &Shared<St>,
    id: RecordId,
    settledness: Settledness,
    mut response: Response<ResponseBody<B>>,
) -> Response<ResponseBody<B>> {
    let Settledness::Ours(settlement) = settledness else {
        return superseded(shared, id).await;
    };
    let marks = &shared.settings.response_headers;
    marks.clear(&mut response);
    if matches!(settlement, Settlement::Stored | Settlement::Tombstone) {
        marks.mark_stored(&mut response, true);
    }
    shared.report(Outcome::Executed(settlement), &mut response);
    response
}

/// Answers for an execution that lost its key: with the winner's response, if it is there.
async fn superseded<St: Store, B: Body>(
    shared: &Shared<St>,
    id: RecordId,
) -> Response<ResponseBody<B>> {
    tracing::warn!(record = %id, "an execution ended after another one had taken its key over");
    match shared.store.lookup(&id).await {
        Ok(Some(record)) => {
            if let Some(response) = record.response {
                return replay::replay(shared, &response, Outcome::Superseded);
            }
        }
        Ok(None) => {}
        Err(error) => {
            let error = crate::log::chain(&error);
            tracing::warn!(record = %id, error, "the winner's response could not be read");
        }
    }
    let mut response = shared.render(&in_progress(shared, 1));
    shared.report(Outcome::Superseded, &mut response);
    response.map(|bytes| ResponseBody::whole(bytes, None))
}

/// Decides what becomes of the key after a response.
fn verdict<B: Body>(settings: &Settings, wishes: Wishes, captured: &Captured<B>) -> Verdict {
    if wishes.release {
        return Verdict::Release(Release::Free);
    }
    if !settings.stored.keeps(&captured.head) {
        return Verdict::Release(release(captured.head.status));
    }
    let headers = settings.replayed_headers.filter(&captured.head.headers);
    let status = captured.head.status;
    let response = match &captured.body {
        CapturedBody::Broken { .. } if settings.stored.keeps_panics() => {
            StoredResponse::tombstone(status, &headers)
        }
        CapturedBody::Broken { .. } => {
            let failure = Failure::transient("the response body broke off");
            return Verdict::Release(Release::Failed(failure));
        }
        CapturedBody::Whole { data, .. } if !wishes.omit_body => {
            kept(status, &headers, data.clone())
        }
        CapturedBody::Whole { .. } | CapturedBody::Unfinished { .. } => {
            StoredResponse::tombstone(status, &headers)
        }
    };
    let retention = wishes.retention.unwrap_or(settings.retention);
    Verdict::Keep(Completed::new(response, retention))
}

/// Keeps no bytes with a status that has no body.
fn kept(status: StatusCode, headers: &HeaderMap, data: Bytes) -> StoredResponse {
    let bodiless = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    let data = if bodiless.contains(&status) {
        Bytes::new()
    } else {
        data
    };
    StoredResponse::new(status, headers, data)
}

/// Says how a key is given up after a response that the policy does not keep.
fn release(status: StatusCode) -> Release {
    if !status.is_server_error() {
        return Release::Free;
    }
    let error = format!("status {}", status.as_u16());
    Release::Failed(match status {
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
            Failure::permanent(error)
        }
        _ => Failure::transient(error),
    })
}

fn panic_verdict(settings: &Settings, response: &Response<Bytes>) -> Verdict {
    if !settings.stored.keeps_panics() {
        let failure = Failure::transient("the handler panicked");
        return Verdict::Release(Release::Failed(failure));
    }
    let headers = settings.replayed_headers.filter(response.headers());
    let response = StoredResponse::new(response.status(), &headers, response.body().clone());
    Verdict::Keep(Completed::new(response, settings.retention))
}

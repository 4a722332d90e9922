//! Settling an execution, and only then answering.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use tower_idempotency_core::{
    Completed, Execution, Failure, Fingerprint, RecordId, Release, Settled, Store, StoreErrorKind,
    StoredResponse,
};

use super::{
    Executed,
    capture::{Captured, CapturedBody},
    in_progress, later, replay,
};
use crate::{
    NotFinal, Outcome, Problem, ProblemCode, ResponseBody, Settlement,
    cache::Known,
    handle::{Fenced, Wishes},
    keep,
    settings::Settings,
    shared::Shared,
};

/// How the handler ended.
pub(super) enum Ended<B: Body, E> {
    Answered(Captured<B>),
    Failed(E),
    Panicked,
}

/// What becomes of the key.
enum Verdict {
    Keep(Completed),
    Release(Release),
}

/// What became of the key.
#[derive(Clone, Copy)]
pub(super) enum Settledness {
    /// As the verdict said, or nearly so.
    Ours(Settlement),
    /// Somebody else has taken the key over.
    Stale,
    /// The execution was a transaction, and it met another one: nothing of it is there.
    Conflict(Settlement),
    /// Whether the effect is there is not known: the client must not be told that it is.
    Unknown,
    /// The response was a success outside of the transaction that it must be kept in.
    Unfenced(Settlement),
}

/// An execution at its end, in a box: it is handed through several futures, each of which would
/// have a place of its own for it.
pub(super) struct Settling<'a, St: Store> {
    pub(super) shared: &'a Arc<Shared<St>>,
    pub(super) execution: St::Execution,
    pub(super) id: RecordId,
    pub(super) fingerprint: Fingerprint,
    pub(super) wishes: Wishes,
    pub(super) may_run_again: bool,
}

impl<St: Store> Settling<'_, St> {
    /// Completes or releases the key, then makes the client's answer.
    pub(super) async fn settle<B, E>(
        mut self: Box<Self>,
        ended: Ended<B, E>,
    ) -> Result<Executed<B>, E>
    where
        B: Body<Data = Bytes>,
    {
        let shared = self.shared;
        let id = self.id;
        let may_run_again = self.may_run_again;
        match std::mem::take(&mut self.wishes.fenced) {
            Fenced::No => {}
            Fenced::Tried(stored) => {
                return Box::pin(self.settle_fenced(ended, stored)).await;
            }
            Fenced::Committed(stored) => return Ok(self.settle_committed(ended, &stored)),
        }
        let (verdict, outcome) = match ended {
            Ended::Answered(captured) => {
                let verdict = verdict(&shared.settings, &self.wishes, &captured);
                (verdict, Ok(captured))
            }
            Ended::Failed(error) => {
                let failure = Failure::transient("the service failed without a response");
                (Verdict::Release(Release::Failed(failure)), Err(error))
            }
            Ended::Panicked => {
                let mut response = panic_answer(shared, id);
                let verdict = panic_verdict(&shared.settings, &self.wishes, &mut response);
                (verdict, Ok(Captured::whole(response)))
            }
        };
        let settledness = match verdict {
            Verdict::Keep(completed) => self.keep(completed).await,
            Verdict::Release(release) => Box::pin(self.release(release)).await,
        };
        shared.runtime.wakers.wake(&id);
        if may_run_again && matches!(settledness, Settledness::Conflict(_)) {
            return Ok(Executed::RunAgain);
        }
        let captured = match outcome {
            Ok(captured) => captured,
            Err(error) => {
                shared.announce(Outcome::Executed(Settlement::Released));
                return Err(error);
            }
        };
        Ok(Executed::Answered(match settledness {
            Settledness::Stale => superseded(shared, id).await,
            settledness => answer(shared, settledness, captured),
        }))
    }

    async fn keep(mut self: Box<Self>, completed: Completed) -> Settledness {
        let begun = self.shared.cache.is_some().then(Instant::now);
        let error = match self.execution.complete(&completed).await {
            Ok(Settled::Applied) => {
                self.remember(&completed, begun);
                return Settledness::Ours(if completed.response.is_tombstone() {
                    Settlement::Tombstone
                } else {
                    Settlement::Stored
                });
            }
            Ok(Settled::Stale) => return Settledness::Stale,
            Err(error) => error,
        };
        let chain = crate::log::chain(&error);
        match error.kind() {
            StoreErrorKind::Conflict => Settledness::Conflict(Settlement::RolledBack),
            StoreErrorKind::RolledBack => {
                tracing::error!(record = %self.id, error = chain, "a transaction was rolled back");
                Settledness::Ours(Settlement::RolledBack)
            }
            StoreErrorKind::Unfenced => Box::pin(self.refuse_success(completed.retention)).await,
            kind => {
                tracing::error!(record = %self.id, error = chain, "a response could not be stored yet");
                later::complete_later(Arc::clone(self.shared), self.execution, self.id, completed);
                if kind == StoreErrorKind::CommitUnknown {
                    Settledness::Unknown
                } else {
                    Settledness::Ours(Settlement::Pending)
                }
            }
        }
    }

    /// Lets the first retry that comes to this process be answered without the store, if wanted.
    fn remember(&self, completed: &Completed, begun: Option<Instant>) {
        if let (Some(cache), Some(begun)) = (&self.shared.cache, begun)
            && self.shared.settings.cache_completions
        {
            let life = completed.retention.duration();
            let known = Known::new(&self.shared.settings, self.fingerprint, begun, life);
            cache.keep_own(self.id, &completed.response, known);
        }
    }

    async fn release(mut self: Box<Self>, release: Release) -> Settledness {
        match self.execution.release(&release).await {
            Ok(Settled::Applied) => Settledness::Ours(Settlement::Released),
            Ok(Settled::Stale) => Settledness::Stale,
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                Settledness::Conflict(Settlement::Released)
            }
            Err(error) => {
                let error = crate::log::chain(&error);
                tracing::warn!(record = %self.id, error, "a key could not be given up yet");
                later::release_later(Arc::clone(self.shared), self.execution, self.id, release);
                Settledness::Ours(Settlement::Released)
            }
        }
    }
}

/// Makes the client's answer of the handler's response and what became of the key.
fn answer<St: Store, B: Body<Data = Bytes>>(
    shared: &Shared<St>,
    settledness: Settledness,
    captured: Captured<B>,
) -> Response<ResponseBody<B>> {
    let settlement = match settledness {
        Settledness::Ours(Settlement::RolledBack)
        | Settledness::Conflict(Settlement::RolledBack) => {
            let code = ProblemCode::TransactionRolledBack;
            return not_done(shared, code, Settlement::RolledBack);
        }
        // The caller has answered with the winner's response.
        Settledness::Stale | Settledness::Unknown => return not_known(shared),
        Settledness::Unfenced(settlement) => {
            return not_done(shared, ProblemCode::NotCompletedInTransaction, settlement);
        }
        Settledness::Ours(settlement) | Settledness::Conflict(settlement) => settlement,
    };
    let mut response = captured.into_response();
    let marks = &shared.settings.response_headers;
    marks.clear(&mut response);
    if matches!(settlement, Settlement::Stored | Settlement::Tombstone) {
        marks.mark_stored(&mut response, true);
    }
    shared.report(Outcome::Executed(settlement), &mut response);
    response
}

/// Answers in the place of a handler whose effects are not there.
pub(super) fn not_done<St: Store, B: Body>(
    shared: &Shared<St>,
    code: ProblemCode,
    settlement: Settlement,
) -> Response<ResponseBody<B>> {
    instead(shared, shared.problem(code), settlement)
}

/// Answers in the place of a handler of which nobody knows whether it has committed.
fn not_known<St: Store, B: Body>(shared: &Shared<St>) -> Response<ResponseBody<B>> {
    let mut problem = shared.problem(ProblemCode::IdempotencyStoreUnavailable);
    problem.detail = "It is not known yet whether the request was carried out. \
                      Send it again with the same key."
        .to_owned();
    instead(shared, problem, Settlement::Pending)
}

/// Answers with a problem in the handler's place.
fn instead<St: Store, B: Body>(
    shared: &Shared<St>,
    mut problem: Problem,
    settlement: Settlement,
) -> Response<ResponseBody<B>> {
    let is_unavailable = problem.code.status() == StatusCode::SERVICE_UNAVAILABLE;
    problem.retry_after = is_unavailable.then_some(1);
    let mut response = shared.render(&problem);
    shared.report(Outcome::Executed(settlement), &mut response);
    response.map(|bytes| ResponseBody::whole(bytes, None))
}

/// Answers for a handler that panicked.
fn panic_answer<St: Store>(shared: &Shared<St>, id: RecordId) -> Response<Bytes> {
    tracing::error!(record = %id, "a handler panicked");
    shared.render(&shared.problem(ProblemCode::HandlerPanicked))
}

/// Answers for an execution that lost its key: with the winner's response, if it is there.
pub(super) async fn superseded<St: Store, B: Body>(
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
fn verdict<B: Body>(settings: &Settings, wishes: &Wishes, captured: &Captured<B>) -> Verdict {
    if wishes.release || captured.head.extensions.get::<NotFinal>().is_some() {
        return Verdict::Release(Release::Free);
    }
    if !settings.stored.keeps(&captured.head) {
        return Verdict::Release(release(captured.head.status));
    }
    let headers = settings.replayed_headers.filter(&captured.head.headers);
    let status = captured.head.status;
    let response = match &captured.body {
        CapturedBody::Broken { .. } if settings.stored.keeps_panics() => {
            keep::tombstone(status, headers)
        }
        CapturedBody::Broken { .. } => {
            let failure = Failure::transient("the response body broke off");
            return Verdict::Release(Release::Failed(failure));
        }
        CapturedBody::Whole { data, .. } if !wishes.omit_body => {
            keep::whole(status, headers, data.clone())
        }
        CapturedBody::Whole { .. } | CapturedBody::Unfinished { .. } => {
            keep::tombstone(status, headers)
        }
    };
    Verdict::Keep(Completed::new(response, wishes.retention(settings)))
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

fn panic_verdict(settings: &Settings, wishes: &Wishes, response: &mut Response<Bytes>) -> Verdict {
    if !settings.stored.keeps_panics() {
        let failure = Failure::transient("the handler panicked");
        return Verdict::Release(Release::Failed(failure));
    }
    // What is kept stays in the language that it is kept in, the first time too.
    response.extensions_mut().remove::<Problem>();
    let headers = settings.replayed_headers.filter(response.headers());
    let body = Some(response.body().clone());
    let response = StoredResponse::from_parts(response.status(), headers, body);
    Verdict::Keep(Completed::new(response, wishes.retention(settings)))
}

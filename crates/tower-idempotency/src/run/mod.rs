//! The way of a covered request, from its body to its answer.
//!
//! ```text
//! Guarded::run      in the connection's future: read the body, find the key
//!   ├ issued        ask who has issued the key, where that is not the client
//!   ├ cached        a kept response that is in memory
//!   └ Job::run      from here on to the end, whatever comes (see `attended`): claim, then one of
//!       ├ replay    a kept response
//!       ├ refuse    409, 422, 500, 503
//!       └ execute   run the handler while the lease is renewed, capture its response,
//!                   settle the execution, and only then answer
//! ```
//!
//! The connection's future is dropped when the client goes away.
//! Up to the claim that is right, since nothing has begun;
//! everything behind it then moves into a task, which nobody but the runtime can stop.

mod attended;
mod capture;
mod claim;
mod execute;
mod fenced;
mod heartbeat;
mod issued;
mod later;
mod pieces;
mod poll;
mod read;
mod replay;
mod settle;
mod sweep;
mod unfenced;

use std::{future::poll_fn, num::NonZeroU32, ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tokio::time::sleep;
use tower_idempotency_core::{
    Claim, ClaimRequest, FingerprintInput, IdempotencyKey, LeaseToken, Retention, Store,
    StoreError, StoreErrorKind,
};
use tower_service::Service;

use self::attended::{Attended, InTask, Stopped};
use crate::{
    BoxError, Outcome, Problem, ProblemCode, ResponseBody, admission, layer::Requirement, route,
    shared::Shared,
};

/// The longest pause that a 409 asks for, in seconds.
///
/// A lease is renewed while its execution runs, so its remaining time says little about when the
/// answer will be there.
const MAX_RETRY_AFTER: u64 = 5;

/// What a 503 asks for, in seconds.
const STORE_RETRY_AFTER: u64 = 1;

/// A covered request's service.
pub(crate) struct Guarded<S, St> {
    pub(crate) shared: Arc<Shared<St>>,
    pub(crate) requirement: Requirement,
    pub(crate) inner: S,
}

impl<S, St> Guarded<S, St> {
    #[expect(
        clippy::manual_async_fn,
        reason = "an async function has two places for each of its arguments"
    )]
    pub(crate) fn run<ReqBody, B>(
        mut self,
        parts: Parts,
        body: ReqBody,
        key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<Response<ResponseBody<B>>, S::Error>> + Send
    where
        S: Service<Request<ReqBody>, Response = Response<B>> + Send + 'static,
        S::Future: Send,
        S::Error: Send + 'static,
        St: Store,
        ReqBody: Body<Data = Bytes> + From<Bytes> + Send + 'static,
        ReqBody::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        async move {
            let body = match read::read(&self.shared, body).await {
                Ok(body) => body,
                Err(problem) => return Ok(self.shared.refuse(&problem)),
            };
            let key = match key.map_or_else(|| self.find_key(&parts, &body), |key| Ok(Some(key))) {
                Ok(Some(key)) => key,
                Ok(None) => {
                    let request = Request::from_parts(parts, ReqBody::from(body));
                    let passed = Box::pin(self.inner.call(request)).await?;
                    return Ok(passed.map(ResponseBody::inner));
                }
                Err(problem) => return Ok(self.shared.refuse(&problem)),
            };
            let mut claim = match claim_request(&self.shared, key, &parts, &body) {
                Ok(claim) => claim,
                Err(problem) => return Ok(self.shared.refuse(&problem)),
            };
            let mut life = None;
            if let Some(issued) = &self.shared.settings.issued {
                match Box::pin(issued::admit(&self.shared, issued, &mut claim, &parts)).await {
                    ControlFlow::Continue(remaining) => life = Some(remaining),
                    ControlFlow::Break(response) => return Ok(response),
                }
            } else if let Some(response) = replay::cached(&self.shared, &claim) {
                return Ok(response);
            }
            sweep::begin(&self.shared);
            let shared = Arc::clone(&self.shared);
            let in_task = InTask::default();
            let job = Box::new(Job {
                guarded: self,
                claim,
                life,
                request: Request::from_parts(parts, body),
                in_task: in_task.clone(),
            });
            let first_renewal = shared.settings.lease / 3;
            let (tracker, watch) = (&shared.runtime.tracker, &shared.watch);
            let job = Box::pin(job.run::<ReqBody, B>());
            match Attended::new(job, in_task, tracker, watch, first_renewal).await {
                Ok(answer) => answer,
                Err(Stopped) => Ok(shared.refuse(&shared.problem(ProblemCode::HandlerPanicked))),
            }
        }
    }

    fn find_key(&self, parts: &Parts, body: &Bytes) -> Result<Option<IdempotencyKey>, Problem> {
        let settings = &self.shared.settings;
        let found = settings
            .key_sources
            .iter()
            .find_map(|source| source.look_at_request(parts, body, settings.key_syntax))
            .map(|key| key.and_then(|key| settings.key_format.check(&key).map(|()| key)));
        match found {
            Some(Ok(key)) => Ok(Some(key)),
            Some(Err(error)) => Err(admission::invalid(&self.shared, &error)),
            None if admission::is_required(&self.shared, self.requirement) => {
                Err(admission::missing(&self.shared))
            }
            None => Ok(None),
        }
    }
}

fn claim_request<St>(
    shared: &Shared<St>,
    key: IdempotencyKey,
    parts: &Parts,
    body: &Bytes,
) -> Result<ClaimRequest, Problem> {
    let settings = &shared.settings;
    let scope_of = |principal| match &settings.issued {
        Some(issued) if !settings.scope.is_function() => Some(issued.scope()),
        _ => settings.scope.scope(principal, parts),
    };
    let scope = settings
        .principal
        .of(parts)
        .and_then(scope_of)
        .ok_or_else(|| shared.problem(ProblemCode::IdempotencyScopeMissing))?
        .in_namespace(Arc::clone(&settings.namespace));
    let fingerprint = settings.fingerprint.fingerprint(&FingerprintInput {
        method: &parts.method,
        target: route::target(parts),
        headers: &parts.headers,
        body,
    });
    let mut claim = ClaimRequest::new(scope, key, fingerprint);
    claim.lease = settings.lease;
    claim.crash_policy = settings.crash_policy;
    claim.max_attempts = settings.max_attempts.and_then(NonZeroU32::new);
    claim.retention = settings.retention;
    claim.failed_retention = settings.failed_retention;
    Ok(claim)
}

/// Refuses a request because the store, or who has issued its key, could not be asked.
fn unavailable<St>(shared: &Shared<St>) -> Problem {
    Problem {
        retry_after: Some(STORE_RETRY_AFTER),
        ..shared.problem(ProblemCode::IdempotencyStoreUnavailable)
    }
}

/// What an execution came to.
enum Executed<B: Body> {
    /// The client's answer.
    Answered(Response<ResponseBody<B>>),
    /// Its transaction met another one, and nothing of it is there.
    RunAgain,
}

/// A request whose key is known, in a box: the future that works on it is then small.
struct Job<S, St> {
    guarded: Guarded<S, St>,
    claim: ClaimRequest,
    /// How long an issued key can still be used.
    life: Option<Retention>,
    request: Request<Bytes>,
    in_task: InTask,
}

impl<S, St: Store> Job<S, St> {
    async fn run<ReqBody, B>(mut self: Box<Self>) -> Result<Response<ResponseBody<B>>, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<B>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        ReqBody: From<Bytes> + Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        let conflicts = self.guarded.shared.settings.conflicts;
        let retries = conflicts.map_or(0, |policy| policy.retries);
        let mut retry = 0;
        loop {
            let execution = match claim::claim(&self.guarded.shared, &self.claim).await {
                Ok(Claim::Acquired(execution)) => execution,
                Ok(other) => return Ok(self.not_acquired(other)),
                Err(error) => return Box::pin(self.without_store(&error)).await,
            };
            let may_run_again = retry < retries;
            match self.execute(execution, may_run_again).await? {
                Executed::Answered(response) => return Ok(response),
                Executed::RunAgain => {}
            }
            tracing::debug!(record = %self.claim.id, retry, "a transaction is run again");
            if let Some(policy) = conflicts {
                sleep(policy.pause(retry)).await;
            }
            retry += 1;
            self.claim.token = LeaseToken::random();
            poll_fn(|cx| self.guarded.inner.poll_ready(cx)).await?;
        }
    }

    /// Answers a request whose key somebody else has, or had.
    fn not_acquired<B: Body>(&self, claim: Claim<St::Execution>) -> Response<ResponseBody<B>> {
        let shared = &self.guarded.shared;
        let code = match claim {
            Claim::Completed(kept) => {
                return replay::replay(shared, &kept.response, Outcome::Replayed { cached: false });
            }
            Claim::InProgress { remaining } => {
                return shared.refuse(&in_progress(shared, remaining.as_secs()));
            }
            Claim::OutcomeUnknown => {
                tracing::warn!(record = %self.claim.id, "a key waits for an operator to resolve it");
                ProblemCode::OutcomeUnknown
            }
            Claim::Exhausted => {
                tracing::warn!(record = %self.claim.id, "a key has had all its attempts");
                ProblemCode::AttemptsExhausted
            }
            Claim::Mismatch => ProblemCode::IdempotencyKeyReused,
            // The caller has taken this one.
            Claim::Acquired(_) => ProblemCode::RequestInProgress,
        };
        shared.refuse(&shared.problem(code))
    }

    /// Answers when the store could not say whether the request is a retry.
    async fn without_store<ReqBody, B>(
        mut self: Box<Self>,
        error: &StoreError,
    ) -> Result<Response<ResponseBody<B>>, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<B>>,
        ReqBody: From<Bytes>,
        B: Body,
    {
        let shared = &self.guarded.shared;
        let fail_open = shared.settings.fail_open;
        let error_chain = crate::log::chain(error);
        tracing::error!(record = %self.claim.id, error = error_chain, fail_open, "a claim failed");
        if error.kind() == StoreErrorKind::Unreadable {
            return Ok(shared.refuse(&shared.problem(ProblemCode::StoredResponseUnreadable)));
        }
        if !fail_open {
            return Ok(shared.refuse(&unavailable(shared)));
        }
        let shared = Arc::clone(shared);
        let request = self.request.map(ReqBody::from);
        let mut response = self.guarded.inner.call(request).await?;
        shared.settings.response_headers.clear(&mut response);
        shared
            .settings
            .response_headers
            .mark_stored(&mut response, false);
        shared.report(Outcome::Unprotected, &mut response);
        Ok(response.map(ResponseBody::inner))
    }
}

/// Describes the refusal of a duplicate while the first request runs.
fn in_progress<St>(shared: &Shared<St>, remaining_seconds: u64) -> Problem {
    Problem {
        retry_after: Some(remaining_seconds.clamp(1, MAX_RETRY_AFTER)),
        ..shared.problem(ProblemCode::RequestInProgress)
    }
}

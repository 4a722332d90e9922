//! One attempt of a delivery, and what is noted of it.

use std::{convert::Infallible, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, header::UPGRADE, response};
use http_body::Body;
use tokio::time::timeout;
use tower_idempotency::{
    BoxStore, IdempotencyService, Outcome, ProblemCode, ResponseBody, Settlement,
};
use tower_idempotency_core::{Failure, FailureCategory};
use tower_service::Service;

use crate::{
    BoxError, DeliveryId, DeliveryState, Verdict, answer, deliveries::Failed, error::chain,
    inbox::Shared, layer::InboxBody, verdict::Classify,
};

/// The longest error that is kept.
const LONGEST_ERROR: usize = 200;

/// Marks a request whose attempt has begun, for the layer inside of the inbox.
#[derive(Clone, Debug)]
pub(crate) struct Attempted {
    pub(crate) id: DeliveryId,
    pub(crate) trigger: Arc<str>,
    pub(crate) attempt: u32,
}

/// Marks a response whose attempt was noted, for the worker that asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted;

pub(crate) struct Attempt<S> {
    pub(crate) inner: IdempotencyService<S, BoxStore>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) attempted: Attempted,
    pub(crate) request: Request<Bytes>,
}

/// What an attempt came to.
#[derive(Debug, Eq, PartialEq)]
enum Ended {
    /// The handler has succeeded, now or in an earlier attempt.
    Succeeded,
    /// The handler has failed.
    Failed(Failure),
    /// Another attempt runs, or nobody can tell yet what this one came to.
    Open,
}

impl<S> Attempt<S> {
    /// Runs the handler, if no other attempt runs or has succeeded, and notes how it ended.
    pub(crate) async fn run<ReqBody, B>(mut self) -> Response<InboxBody<B>>
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
        let mut request = self.request.map(ReqBody::from);
        // A delivery upgrades nothing, and the layer inside lets upgrades through unguarded.
        request.headers_mut().remove(UPGRADE);
        request.extensions_mut().insert(self.attempted.id);
        request.extensions_mut().insert(self.attempted.clone());
        let call = self.inner.call(request);
        let Ok(response) = while_held(&self.shared, &self.attempted, call).await;
        let (parts, body) = response.into_parts();
        let ended = judge(&self.shared.settings.classify, &parts);
        let response = Response::from_parts(parts, body);
        let mut answer = note(&self.shared, &self.attempted, ended, response).await;
        answer.extensions_mut().insert(Noted);
        answer
    }
}

/// Waits for the end of an attempt, and tells the table meanwhile that it still runs.
///
/// The lease is what keeps others from running it. This keeps them from trying, and an attempt that
/// takes long from being taken for one that left no trace.
async fn while_held<T>(shared: &Shared, attempted: &Attempted, call: impl Future<Output = T>) -> T {
    let pause = shared.settings.lease / 2;
    let mut call = pin!(call);
    loop {
        if let Ok(ended) = timeout(pause, &mut call).await {
            return ended;
        }
        let (id, patience) = (attempted.id, shared.settings.patience());
        let held = shared.deliveries.hold(id, attempted.attempt, patience);
        if let Err(error) = held.await {
            let error = chain(&error);
            tracing::warn!(delivery = %id, error, "others may look after a running attempt");
        }
    }
}

/// Judges an answer by what the layer says that it is, and only then by what it says itself.
fn judge(classify: &Classify, parts: &response::Parts) -> Ended {
    let by_answer = || match (classify.0)(parts) {
        Verdict::Success => Ended::Succeeded,
        Verdict::Failed(failure) => Ended::Failed(failure),
    };
    match parts.extensions.get::<Outcome>() {
        Some(
            Outcome::Replayed { .. }
            | Outcome::Executed(Settlement::Stored | Settlement::Tombstone),
        ) => Ended::Succeeded,
        Some(Outcome::Executed(Settlement::Pending)) => Ended::Open,
        Some(Outcome::Executed(Settlement::RolledBack)) => match by_answer() {
            Ended::Succeeded => Ended::Failed(Failure::transient("rolled back")),
            other => other,
        },
        Some(Outcome::Superseded) => match by_answer() {
            Ended::Succeeded => Ended::Succeeded,
            _ => Ended::Open,
        },
        Some(Outcome::Refused(
            ProblemCode::RequestInProgress | ProblemCode::IdempotencyStoreUnavailable,
        )) => Ended::Open,
        Some(Outcome::Refused(ProblemCode::HandlerPanicked)) => {
            Ended::Failed(Failure::transient("panic"))
        }
        Some(Outcome::Refused(code)) => Ended::Failed(Failure::permanent(code.as_str())),
        _ => by_answer(),
    }
}

/// Notes the end of an attempt, and chooses the sender's answer.
///
/// What cannot be noted is looked at again when the attempt's time is over: the layer inside knows
/// whether it had succeeded.
async fn note<B: Body>(
    shared: &Shared,
    attempted: &Attempted,
    ended: Ended,
    response: Response<ResponseBody<B>>,
) -> Response<InboxBody<B>> {
    let (deliveries, id, attempt) = (&shared.deliveries, attempted.id, attempted.attempt);
    let failed = match ended {
        Ended::Succeeded => {
            log_if_lost(id, deliveries.succeed(id).await);
            return answer::executed(response);
        }
        Ended::Open => {
            let later = shared.settings.lease / 2;
            log_if_lost(id, deliveries.postpone(id, attempt, later).await);
            return answer::accepted();
        }
        Ended::Failed(failure) => failure,
    };
    let is_permanent = matches!(failed.category, FailureCategory::Permanent);
    let noted = Failed {
        category: failed.category.as_str(),
        error: shortened(&failed.error),
        next_in: shared.settings.retry.pause(attempt),
    };
    let state = log_if_lost(id, deliveries.fail(id, attempt, &noted).await).flatten();
    let (category, error) = (noted.category, noted.error);
    if state == Some(DeliveryState::Dead) {
        tracing::warn!(delivery = %id, attempt, category, error, "a delivery is a dead letter");
    } else {
        tracing::info!(delivery = %id, attempt, category, error, "an attempt failed");
    }
    if is_permanent || state == Some(DeliveryState::Dead) {
        answer::refused(response)
    } else {
        answer::accepted()
    }
}

fn log_if_lost<T>(id: DeliveryId, noted: Result<T, crate::InboxError>) -> Option<T> {
    noted
        .inspect_err(|error| {
            let error = chain(error);
            tracing::error!(delivery = %id, error, "the end of an attempt could not be noted");
        })
        .ok()
}

fn shortened(error: &str) -> &str {
    &error[..error.floor_char_boundary(LONGEST_ERROR)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, outcome: Outcome) -> Ended {
        let mut response = Response::builder().status(status).body(()).unwrap();
        response.extensions_mut().insert(outcome);
        judge(&Classify::default(), &response.into_parts().0)
    }

    #[test]
    fn a_replay_is_a_success_whatever_it_looks_like() {
        assert_eq!(
            judged(500, Outcome::Replayed { cached: false }),
            Ended::Succeeded
        );
    }

    #[test]
    fn a_running_attempt_and_an_unknown_end_are_left_open() {
        let refused = Outcome::Refused(ProblemCode::RequestInProgress);
        assert_eq!(judged(409, refused), Ended::Open);
        let pending = Outcome::Executed(Settlement::Pending);
        assert_eq!(judged(200, pending), Ended::Open);
        assert_eq!(judged(409, Outcome::Superseded), Ended::Open);
    }

    #[test]
    fn what_was_rolled_back_has_not_succeeded() {
        let undone = Outcome::Executed(Settlement::RolledBack);
        assert_ne!(judged(200, undone), Ended::Succeeded);
        assert_ne!(judged(503, undone), Ended::Open);
    }

    #[test]
    fn long_errors_are_cut_between_characters() {
        let error = "ä".repeat(LONGEST_ERROR);
        assert_eq!(shortened(&error).len(), LONGEST_ERROR);
        assert_eq!(shortened("short"), "short");
    }
}

//! Asking the issuer of a key, before anything is claimed.

use std::ops::ControlFlow;

use http::{Response, request::Parts};
use http_body::Body;
use tower_idempotency_core::{
    ClaimRequest, RecordState, Retention, Store, StoreError, StoreErrorKind, StoredResponse,
};

use super::{STORE_RETRY_AFTER, in_progress, replay};
use crate::{
    IssuedKeys, KeyStanding, Outcome, Problem, ProblemCode, ResponseBody, issued::outlasting,
    shared::Shared,
};

/// Asks about the key: answers the request, or says for how long the key can still be used.
pub(super) async fn admit<St: Store, B: Body>(
    shared: &Shared<St>,
    issued: &IssuedKeys,
    claim: &mut ClaimRequest,
    request: &Parts,
) -> ControlFlow<Response<ResponseBody<B>>, Retention> {
    let asked = match issued.standing(&claim.key, request).await {
        Ok(KeyStanding::Unknown) => Err(shared.problem(ProblemCode::IdempotencyKeyUnknown)),
        Ok(standing) => Ok(standing),
        Err(error) => {
            let error = crate::log::chain(&*error);
            tracing::error!(record = %claim.id, error, "an issuer could not be asked about a key");
            // Also where the layer fails open: nobody has said that the key is one.
            Err(unavailable(shared))
        }
    };
    let standing = match asked {
        Ok(standing) => standing,
        Err(problem) => return ControlFlow::Break(shared.refuse(&problem)),
    };
    if let Some(response) = replay::cached(shared, claim) {
        return ControlFlow::Break(response);
    }
    let code = match standing {
        KeyStanding::Valid { remaining } => {
            let life = remaining.map_or(Retention::Forever, Retention::For);
            claim.retention = outlasting(claim.retention, life);
            return ControlFlow::Continue(life);
        }
        KeyStanding::Expired => ProblemCode::IdempotencyKeyExpired,
        KeyStanding::Used => ProblemCode::IdempotencyKeyUsed,
        KeyStanding::Unknown => ProblemCode::IdempotencyKeyUnknown,
    };
    ControlFlow::Break(spent(shared, claim, code).await)
}

/// Answers a key that nothing can begin with: by its record, or else with `code`.
///
/// The record is only looked at. A claim would have to be given up again, and would meanwhile
/// answer others that somebody is at work.
pub(super) async fn spent<St: Store, B: Body>(
    shared: &Shared<St>,
    claim: &ClaimRequest,
    code: ProblemCode,
) -> Response<ResponseBody<B>> {
    match find(shared, claim, code).await {
        Ok(Found::Response(response)) => {
            replay::replay(shared, &response, Outcome::Replayed { cached: false })
        }
        Ok(Found::Problem(problem)) => shared.refuse(&problem),
        Err(error) => {
            let kind = error.kind();
            let error = crate::log::chain(&error);
            tracing::error!(record = %claim.id, error, "a record could not be looked up");
            shared.refuse(&match kind {
                StoreErrorKind::Unreadable => shared.problem(ProblemCode::StoredResponseUnreadable),
                _ => unavailable(shared),
            })
        }
    }
}

enum Found {
    Response(StoredResponse),
    Problem(Problem),
}

/// Judges the record as a claim would that may not begin anything.
async fn find<St: Store>(
    shared: &Shared<St>,
    claim: &ClaimRequest,
    code: ProblemCode,
) -> Result<Found, StoreError> {
    let problem = |code| Ok(Found::Problem(shared.problem(code)));
    let mut is_abandoned = false;
    loop {
        let Some(record) = shared.store.lookup(&claim.id).await? else {
            return problem(code);
        };
        let differs = !claim.fingerprint.matches(&record.info.fingerprint);
        match (record.info.state, record.response) {
            // It was given up, and cannot be used any more.
            (RecordState::Failed, _) => return problem(code),
            _ if differs => return problem(ProblemCode::IdempotencyKeyReused),
            (RecordState::Completed, Some(response)) => return Ok(Found::Response(response)),
            (RecordState::Completed, None) => return problem(ProblemCode::IdempotencyKeyUsed),
            (RecordState::InProgress, _) if is_abandoned => {
                tracing::warn!(record = %claim.id, "an expired key waits for an operator to resolve it");
                return problem(ProblemCode::OutcomeUnknown);
            }
            (RecordState::InProgress, _) => {}
        }
        // Whether the lease is dead is for the store's clock to say. If it has ended otherwise,
        // the record tells.
        is_abandoned = !shared.store.ended(&[claim.id]).await?.is_empty();
        if !is_abandoned {
            return Ok(Found::Problem(in_progress(shared, 1)));
        }
    }
}

fn unavailable<St>(shared: &Shared<St>) -> Problem {
    Problem {
        retry_after: Some(STORE_RETRY_AFTER),
        ..shared.problem(ProblemCode::IdempotencyStoreUnavailable)
    }
}

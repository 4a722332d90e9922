//! Asking the issuer of a key, before anything is claimed.

use std::ops::ControlFlow;

use http::{Response, request::Parts};
use http_body::Body;
use tower_idempotency_core::{
    ClaimRequest, RecordState, Retention, Store, StoreError, StoreErrorKind, StoredResponse,
};

use super::{in_progress, replay, unavailable};
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
    let standing = match issued.standing(&claim.key, request).await {
        Ok(standing) => standing,
        Err(error) => {
            let error = crate::log::chain(&*error);
            tracing::error!(record = %claim.id, error, "an issuer could not be asked about a key");
            // Also where the layer fails open: nobody has said that the key is one.
            return ControlFlow::Break(shared.refuse(&unavailable(shared)));
        }
    };
    let usable = match standing {
        KeyStanding::Valid { remaining } => {
            Ok(remaining.map_or(Retention::Forever, Retention::For))
        }
        KeyStanding::Expired => Err(ProblemCode::IdempotencyKeyExpired),
        KeyStanding::Used => Err(ProblemCode::IdempotencyKeyUsed),
        KeyStanding::Unknown => {
            let unknown = shared.problem(ProblemCode::IdempotencyKeyUnknown);
            return ControlFlow::Break(shared.refuse(&unknown));
        }
    };
    if let Some(response) = replay::cached(shared, claim) {
        return ControlFlow::Break(response);
    }
    match usable {
        Ok(life) => {
            claim.retention = outlasting(claim.retention, life);
            ControlFlow::Continue(life)
        }
        Err(code) => ControlFlow::Break(spent(shared, claim, code).await),
    }
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

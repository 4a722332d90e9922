//! Claiming.

use std::sync::Arc;

use tower_idempotency_core::{Attempt, Claim, ClaimRequest, Judgement, RawClaim};

use crate::{
    operation::{Answer, Operation},
    row,
    shared::Shared,
    sql,
};

/// How often a claim looks again after it lost a race, before it answers "in progress".
const ROUNDS: u32 = 8;

/// Claims the key: a look, and a guarded write only if the look says that there is something to
/// take. Whoever finds a record does not wait for those that write.
pub(crate) async fn claim(
    shared: &Shared,
    request: &Arc<ClaimRequest>,
) -> sqlx::Result<Claim<Attempt>> {
    for _ in 0..ROUNDS {
        let found = match look(shared, request).await? {
            Some(found) => found,
            None => match shared
                .write(Operation::Claim(Arc::downgrade(request)))
                .await?
            {
                Answer::Made => return Ok(Claim::Acquired(Attempt::FIRST)),
                Answer::Found(found) => found,
                // Somebody gave the key up between the two.
                Answer::Unchanged | Answer::Changed | Answer::TakenOver(_) => continue,
            },
        };
        let (seen, because) = match found.judge(request).map_err(row::undecodable)? {
            Judgement::Answer(claim) => return Ok(claim),
            Judgement::TakeOver { seen, because } => (seen, because),
        };
        let take_over = Operation::TakeOver {
            request: Arc::downgrade(request),
            seen,
            because,
        };
        if let Answer::TakenOver(attempt) = shared.write(take_over).await? {
            return Ok(Claim::Acquired(attempt));
        }
    }
    // Others take and leave the key faster than this can look.
    Ok(Claim::InProgress {
        remaining: request.lease,
    })
}

async fn look(shared: &Shared, request: &ClaimRequest) -> sqlx::Result<Option<RawClaim>> {
    let find = sqlx::query(sql::FIND).bind(request.id.as_bytes().as_slice());
    let row = find.fetch_optional(&shared.readers).await?;
    row.as_ref().map(row::claim).transpose()
}

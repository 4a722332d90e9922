//! Claiming.

use sqlx::Executor;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Judgement, LeaseToken, Retention, Takeable,
};

use crate::{row, shared::Shared, sql};

/// How often a claim looks again after it lost a race, before it answers "in progress".
const ROUNDS: u32 = 8;

/// Claims the key: a look, and a guarded write only if the look says that there is something to
/// take.
pub(crate) async fn claim(shared: &Shared, request: &ClaimRequest) -> sqlx::Result<Claim<Attempt>> {
    for _ in 0..ROUNDS {
        let find = sqlx::query(sql::FIND).bind(request.id.as_bytes().as_slice());
        let Some(found) = shared.readers.fetch_optional(find).await? else {
            if insert(shared, request).await? {
                return Ok(Claim::Acquired(Attempt::FIRST));
            }
            continue;
        };
        let judgement = row::claim(&found)?.judge(request);
        let (seen, because) = match judgement.map_err(row::undecodable)? {
            Judgement::Answer(claim) => return Ok(claim),
            Judgement::TakeOver { seen, because } => (seen, because),
        };
        if let Some(attempt) = take_over(shared, request, seen, because).await? {
            return Ok(Claim::Acquired(attempt));
        }
    }
    // Others take and leave the key faster than this can look.
    Ok(Claim::InProgress {
        remaining: request.lease,
    })
}

async fn insert(shared: &Shared, request: &ClaimRequest) -> sqlx::Result<bool> {
    let fingerprint = request.fingerprint.to_bytes();
    let inserted = sqlx::query(sql::INSERT)
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_bytes().as_slice())
        .bind(fingerprint.as_slice())
        .bind(request.scope.namespace())
        .bind(request.scope.principal())
        .bind(request.scope.route())
        .bind(request.key.as_str())
        .bind(Retention::For(request.lease).milliseconds())
        .bind(request.abandoned_retention().milliseconds())
        .execute(&shared.writer)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn take_over(
    shared: &Shared,
    request: &ClaimRequest,
    seen: LeaseToken,
    because: Takeable,
) -> sqlx::Result<Option<Attempt>> {
    let fingerprint = request.fingerprint.to_bytes();
    let row = sqlx::query(sql::TAKE_OVER)
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_bytes().as_slice())
        .bind(fingerprint.as_slice())
        .bind(seen.as_bytes().as_slice())
        .bind(because.as_str())
        .bind(Retention::For(request.lease).milliseconds())
        .bind(request.abandoned_retention().milliseconds())
        .fetch_optional(&shared.writer)
        .await?;
    row.as_ref().map(row::attempt).transpose()
}

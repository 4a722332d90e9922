//! Claiming by a lock that lives as long as the transaction.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Judgement, LeaseToken, RecordId, RecordState, StoreError,
};

use super::{
    execution::TransactionExecution,
    open::{OpenTransaction, Seen},
    store::Transactional,
};
use crate::{row, shared::Shared, sql::lock_number};

/// What a duplicate is told of a transaction whose end nobody can foresee.
const REMAINING: Duration = Duration::from_secs(1);

/// What a claim came to, with the transaction that it began.
enum Begun {
    /// The key is ours.
    Ours {
        open: OpenTransaction,
        attempt: Attempt,
        seen: Option<LeaseToken>,
    },
    /// It is not, and the transaction has ended.
    Not(Refusal),
}

/// Why a claim has not acquired its key.
struct Refusal(Claim<Infallible>);

impl Refusal {
    fn into_claim(self) -> Claim<TransactionExecution> {
        self.0.map(|never| match never {})
    }
}

pub(crate) async fn claim(
    transactional: &Arc<Transactional>,
    request: &ClaimRequest,
) -> Result<Claim<TransactionExecution>, StoreError> {
    let shared = &transactional.shared;
    let begun = shared.bounded(|| begin(transactional, request)).await?;
    Ok(match begun {
        Begun::Not(refusal) => refusal.into_claim(),
        Begun::Ours {
            open,
            attempt,
            seen,
        } => Claim::Acquired(TransactionExecution::new(
            Arc::clone(transactional),
            request,
            attempt,
            seen,
            open,
        )),
    })
}

async fn begin(transactional: &Transactional, request: &ClaimRequest) -> sqlx::Result<Begun> {
    let (open, seen) = OpenTransaction::begin(transactional, &request.id, request.token).await?;
    let refused = match judge(seen, request) {
        Ok(Ok((attempt, seen))) => {
            return Ok(Begun::Ours {
                open,
                attempt,
                seen,
            });
        }
        Ok(Err(refusal)) => Ok(Begun::Not(refusal)),
        Err(error) => Err(error),
    };
    let bound = transactional.shared.operation_timeout;
    if let Some(mut connection) = open.roll_back(bound).await {
        connection.done();
    }
    refused
}

/// The attempt that begins, and the token of the record that it takes the place of.
type Next = (Attempt, Option<LeaseToken>);

fn judge(seen: Seen, request: &ClaimRequest) -> sqlx::Result<Result<Next, Refusal>> {
    let in_progress = |remaining| Refusal(Claim::InProgress { remaining });
    let Some(record) = seen.record else {
        let fresh = (Attempt::FIRST, None);
        return Ok(seen
            .ours
            .then_some(fresh)
            .ok_or_else(|| in_progress(REMAINING)));
    };
    // A lease is of a process that does not use this mode yet, or not any more.
    let takeover = record.state == Some(RecordState::InProgress);
    let next = match u32::try_from(record.attempt) {
        Ok(attempts) if !record.expired => Attempt::new(attempts.saturating_add(1), takeover),
        _ => Attempt::FIRST,
    };
    let judgement = record.judge(request).map_err(row::undecodable)?;
    // A kept response is final, whoever has the lock: it may only be finding out how a commit ended.
    let is_final = matches!(judgement, Judgement::Answer(Claim::Completed(_)));
    if !seen.ours && !is_final {
        return Ok(Err(in_progress(REMAINING)));
    }
    Ok(match judgement {
        Judgement::TakeOver { seen, .. } => Ok((next, Some(seen))),
        Judgement::Answer(claim) => Err(match claim {
            Claim::Acquired(_) => in_progress(REMAINING),
            Claim::InProgress { remaining } => in_progress(remaining),
            Claim::Completed(replay) => Refusal(Claim::Completed(replay)),
            Claim::Mismatch => Refusal(Claim::Mismatch),
            Claim::OutcomeUnknown => Refusal(Claim::OutcomeUnknown),
            Claim::Exhausted => Refusal(Claim::Exhausted),
        }),
    })
}

/// Returns those of `ids` whose lock nobody holds, and which nobody holds a lease on either.
pub(crate) async fn ended(shared: &Shared, ids: &[RecordId]) -> sqlx::Result<Vec<RecordId>> {
    let numbers: Vec<i64> = ids.iter().map(lock_number).collect();
    let mut connection = shared.begin().await?;
    let held = shared
        .query(&shared.sql.held_locks)
        .bind(numbers)
        .fetch_all(&mut *connection)
        .await;
    let held = connection.finish(held).await?;
    let held: Vec<i64> = held
        .iter()
        .map(|row| sqlx::Row::try_get(row, "number"))
        .collect::<sqlx::Result<_>>()?;
    let is_free = |id: &&RecordId| !held.contains(&lock_number(id));
    let free: Vec<_> = ids.iter().filter(is_free).copied().collect();
    crate::resolve::ended(shared, &free).await
}

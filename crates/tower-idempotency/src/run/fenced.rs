//! Settling an execution that has completed its record in the handler's transaction.

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tower_idempotency_core::{
    Execution, Failure, Release, Settled, Standing, Store, StoreError, StoredResponse,
};

use super::{
    Executed, replay,
    settle::{Ended, Settling, not_done, superseded},
};
use crate::{Outcome, ProblemCode, ResponseBody, Settlement, shared::Shared};

impl<St: Store> Settling<'_, St> {
    /// Asks the store whether the handler's transaction was committed, and answers accordingly.
    ///
    /// The layer changes nothing here that the transaction could have changed: what was committed
    /// stays, and what was not is given up, never completed, since its effects are not there.
    pub(super) async fn settle_fenced<B, E>(
        mut self: Box<Self>,
        ended: Ended<B, E>,
        stored: StoredResponse,
    ) -> Result<Executed<B>, E>
    where
        B: Body<Data = Bytes>,
    {
        let shared = self.shared;
        let id = self.id;
        let standing = self.standing().await;
        shared.runtime.wakers.wake(&id);
        match standing {
            Some(Standing::Completed) => Ok(Executed::Answered(committed(shared, ended, &stored))),
            Some(Standing::Lost) => Ok(Executed::Answered(superseded(shared, id).await)),
            Some(Standing::InProgress) => not_committed(shared, ended, Settlement::RolledBack),
            None => not_committed(shared, ended, Settlement::Pending),
        }
    }

    /// Answers for a handler whose commit was answered: there is nothing to find out.
    pub(super) fn settle_committed<B, E>(
        self,
        ended: Ended<B, E>,
        stored: &StoredResponse,
    ) -> Executed<B>
    where
        B: Body<Data = Bytes>,
    {
        self.shared.runtime.wakers.wake(&self.id);
        Executed::Answered(committed(self.shared, ended, stored))
    }

    /// Finds out where the record is; `None` if the store cannot tell.
    ///
    /// What was not committed is given up. That waits for a transaction that is still being
    /// committed, so the answer is final.
    async fn standing(&mut self) -> Option<Standing> {
        let asked = match self.execution.standing().await {
            Ok(Standing::InProgress) => self.give_up().await,
            asked => asked,
        };
        match asked {
            Ok(standing) => Some(standing),
            Err(error) => {
                let error = crate::log::chain(&error);
                tracing::error!(
                    record = %self.id,
                    error,
                    "it is not known whether a handler has committed"
                );
                None
            }
        }
    }

    async fn give_up(&mut self) -> Result<Standing, StoreError> {
        let failure = Failure::transient("the handler's transaction was not committed");
        match self.execution.release(&Release::Failed(failure)).await? {
            Settled::Applied => Ok(Standing::InProgress),
            Settled::Stale => self.execution.standing().await,
        }
    }
}

/// Answers after the commit: with what the handler returned, if that is what it has kept.
fn committed<St: Store, B, E>(
    shared: &Shared<St>,
    ended: Ended<B, E>,
    stored: &StoredResponse,
) -> Response<ResponseBody<B>>
where
    B: Body<Data = Bytes>,
{
    let mut response = match ended {
        Ended::Answered(captured) if captured.head.status == stored.status() => {
            captured.into_response()
        }
        _ => replay::unmarked(shared, stored),
    };
    let marks = &shared.settings.response_headers;
    marks.clear(&mut response);
    marks.mark_stored(&mut response, true);
    let settlement = if stored.is_tombstone() {
        Settlement::Tombstone
    } else {
        Settlement::Stored
    };
    shared.report(Outcome::Executed(settlement), &mut response);
    response
}

/// Answers where nothing was committed, or nobody knows.
///
/// A handler that says success knows that it has committed, unless the store knows better.
fn not_committed<St: Store, B, E>(
    shared: &Shared<St>,
    ended: Ended<B, E>,
    settlement: Settlement,
) -> Result<Executed<B>, E>
where
    B: Body<Data = Bytes>,
{
    let captured = match ended {
        Ended::Answered(captured) => captured,
        Ended::Failed(error) => {
            shared.announce(Outcome::Executed(settlement));
            return Err(error);
        }
        Ended::Panicked => {
            tracing::error!("a handler panicked");
            let answer = not_done(shared, ProblemCode::HandlerPanicked, settlement);
            return Ok(Executed::Answered(answer));
        }
    };
    let status = captured.head.status;
    let says_success = status.is_success() || status.is_redirection();
    if says_success && settlement == Settlement::RolledBack {
        tracing::error!("a handler completed a key in a transaction and did not commit it");
        let answer = not_done(shared, ProblemCode::TransactionNotCommitted, settlement);
        return Ok(Executed::Answered(answer));
    }
    let mut response = captured.into_response();
    shared.settings.response_headers.clear(&mut response);
    shared.report(Outcome::Executed(settlement), &mut response);
    Ok(Executed::Answered(response))
}

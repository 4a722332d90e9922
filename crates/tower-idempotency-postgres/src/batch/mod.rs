//! Claims and ends that are in flight together, in one statement and one commit.
//!
//! The lanes have connections of their own, so that a claim needs none of the pool's, and nobody
//! else's session sees their settings.

mod backend;
mod caretaker;
mod connection;
mod error;
mod operation;
mod statement;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use sqlx::PgPool;
use tower_idempotency_batch::{Batcher, Limits};
use tower_idempotency_core::{Attempt, ClaimRequest, LeaseToken, Takeable};

use self::{
    backend::Lanes,
    caretaker::Caretaker,
    error::of_batch,
    operation::{Answer, Operation},
};
use crate::{claim::Found, pooling::Pooling, sql::Sql};

pub(crate) use self::{
    error::Stuck,
    operation::{Change, End},
};

/// The way into the batches.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    batcher: Batcher<Lanes>,
    caretaker: Arc<Caretaker>,
}

impl Batches {
    pub(crate) fn new(
        pool: PgPool,
        sql: Arc<Sql>,
        pooling: Pooling,
        operation_timeout: Duration,
        limits: Limits,
    ) -> Self {
        let lanes = Lanes::new(pool, sql, pooling, operation_timeout);
        Self {
            batcher: Batcher::new(lanes, limits),
            caretaker: Arc::default(),
        }
    }

    fn batcher(&self) -> &Batcher<Lanes> {
        self.caretaker.see_to(&self.batcher);
        &self.batcher
    }

    /// Reads the record, or makes one; `durable` says that a crash of the server must not undo it.
    pub(crate) fn claim(
        &self,
        request: &Arc<ClaimRequest>,
        durable: bool,
    ) -> impl Future<Output = sqlx::Result<Found>> {
        let claim = Operation::Claim {
            request: Arc::clone(request),
            durable,
        };
        let answer = self.batcher().run_if_room(claim);
        answer.map(|answer| match answer.map_err(of_batch)? {
            Answer::Claimed(found) => found,
            Answer::TakenOver(_) | Answer::Ended(_) => Err(misplaced()),
        })
    }

    /// Puts a new execution in the place of the one that was seen.
    pub(crate) fn take_over(
        &self,
        request: &Arc<ClaimRequest>,
        seen: LeaseToken,
        because: Takeable,
    ) -> impl Future<Output = sqlx::Result<Option<Attempt>>> {
        let take_over = Operation::TakeOver {
            request: Arc::clone(request),
            seen,
            because,
        };
        let answer = self.batcher().run_if_room(take_over);
        answer.map(|answer| match answer.map_err(of_batch)? {
            Answer::TakenOver(attempt) => Ok(attempt),
            Answer::Claimed(_) | Answer::Ended(_) => Err(misplaced()),
        })
    }

    /// Changes the record; returns whether it did. If not, it is another's, or somebody holds it.
    pub(crate) fn end(&self, end: End) -> impl Future<Output = sqlx::Result<bool>> {
        // Never refused: there are no more of these than there are executions.
        let answer = self.batcher().run(Operation::End(end));
        answer.map(|answer| match answer.map_err(of_batch)? {
            Answer::Ended(changed) => Ok(changed),
            Answer::Claimed(_) | Answer::TakenOver(_) => Err(misplaced()),
        })
    }
}

/// Every operation is answered in kind.
fn misplaced() -> sqlx::Error {
    sqlx::Error::Protocol("an operation got the answer of another kind".to_owned())
}

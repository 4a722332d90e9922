//! Operations that are in flight together, in one commit.
//!
//! SQLite has one writer, so there is one lane. It takes the store's writing connection for each
//! batch, and gives it back after it: a handler's transaction, a sweep and whoever else writes has
//! its turn between two batches.

mod error;
mod lane;

use std::time::Duration;

use sqlx::SqlitePool;
use tower_idempotency_batch::{Batcher, Limits};

use self::{error::of_batch, lane::Writer};
use crate::operation::{Answer, Operation};

pub(crate) use self::error::{Stuck, original};

/// The way into the batches.
#[derive(Clone, Debug)]
pub(crate) struct Batches(Batcher<Writer>);

impl Batches {
    pub(crate) fn new(
        writer: SqlitePool,
        operation_timeout: Duration,
        max_queued_claims: usize,
    ) -> Self {
        let mut limits = Limits::default();
        limits.lanes = 1;
        limits.queued = max_queued_claims;
        Self(Batcher::new(Writer::new(writer, operation_timeout), limits))
    }

    /// Runs the operation with whatever others are in flight.
    pub(crate) async fn run(&self, operation: Operation) -> sqlx::Result<Answer> {
        let answer = match &operation {
            // Never refused: there are no more of these than there are executions.
            Operation::End(_) => self.0.run(operation).await,
            Operation::Claim(_) | Operation::TakeOver { .. } => self.0.run_if_room(operation).await,
        };
        answer.unwrap_or_else(|error| Err(of_batch(error)))
    }
}

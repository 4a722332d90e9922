//! What batches run on.

use std::{fmt, future::Future, hash::Hash};

/// Opens the connections of lanes, and runs batches on them.
///
/// All futures are polled in tasks of the runtime that the operations' callers are on.
pub trait Backend: Send + Sync + Sized + 'static {
    /// What a batch runs on: one lane has it at a time.
    type Connection: Send + 'static;
    /// One of those that share a batch.
    type Operation: Send + Sync + 'static;
    /// What two operations of a batch must not have in common.
    type Key: Eq + Hash;
    /// What an operation came to.
    type Answer: Send + 'static;
    /// Why a batch failed. Everyone in it gets a copy.
    type Error: Clone + Send + 'static;

    /// Opens a connection. It must end in bounded time.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Says whether another batch may run on `connection`; if not, closes it.
    fn reuse(
        &self,
        connection: Self::Connection,
    ) -> impl Future<Output = Option<Self::Connection>> + Send;

    /// Runs `batch`, which is never empty, and answers in its order. It must end in bounded time.
    ///
    /// The future is dropped only together with its runtime.
    fn run(
        &self,
        connection: Self::Connection,
        batch: &[Self::Operation],
    ) -> impl Future<Output = Ran<Self>> + Send;

    /// Returns about how many bytes `operation` adds to a batch.
    fn weight(&self, operation: &Self::Operation) -> usize;

    /// Returns what no other operation of the same batch may have, if there is such a thing.
    ///
    /// The second one waits for the next batch, which another lane may run at the same time.
    fn key(&self, operation: &Self::Operation) -> Option<Self::Key>;
}

/// What running a batch came to.
#[expect(
    clippy::exhaustive_enums,
    reason = "a backend makes it, and a batcher handles every case"
)]
pub enum Ran<B: Backend> {
    /// It ran.
    Done {
        /// The connection, for the next batch.
        connection: B::Connection,
        /// One answer for each operation, in their order.
        answers: Vec<B::Answer>,
    },
    /// Nothing of it is done, and one of its operations is to blame:
    /// its halves are run, down to single operations.
    Poisoned {
        /// The connection, which is none the worse for it.
        connection: B::Connection,
        /// What the operation gets that is found out.
        error: B::Error,
    },
    /// It failed as a whole: every operation gets the error.
    Failed {
        /// The connection, if it can be used again. If not, those that are kept idle are closed
        /// too: as a rule it is the server that has gone.
        connection: Option<B::Connection>,
        /// The error.
        error: B::Error,
    },
}

impl<B: Backend> fmt::Debug for Ran<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done { .. } => "Done",
            Self::Poisoned { .. } => "Poisoned",
            Self::Failed { .. } => "Failed",
        })
    }
}

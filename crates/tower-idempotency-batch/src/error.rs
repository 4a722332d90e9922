//! Why an operation has no answer.

use std::{error::Error, fmt};

/// Why an operation has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller must know for each whether the operation may have run"
)]
pub enum BatchError<E> {
    /// Its batch failed, or no connection could be opened.
    Failed(E),
    /// Too many operations are waiting. It was not run.
    Full,
    /// The task that ran it has ended: it panicked, or its runtime was shut down.
    /// The operation may have run.
    Interrupted,
}

impl<E> fmt::Display for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "a batch of operations failed",
            Self::Full => "too many operations are waiting",
            Self::Interrupted => "the task that ran a batch of operations has ended",
        })
    }
}

impl<E: Error + 'static> Error for BatchError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Full | Self::Interrupted => None,
        }
    }
}

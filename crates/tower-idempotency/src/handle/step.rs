//! Durable steps.

use std::{error::Error, fmt};

use serde::{Serialize, de::DeserializeOwned};
use tower_idempotency_core::{Settled, StoreError};

use super::Idempotency;

impl Idempotency {
    /// Runs one step of the handler, and keeps its result under the key: an attempt that comes
    /// after a crash or a failure gets the kept result and goes on behind it.
    ///
    /// For effects outside the database: a charge at a payment provider, a mail.
    ///
    /// # What holds
    ///
    /// - A step whose result is kept never runs again for this request; every later attempt gets
    ///   the same result.
    /// - A step runs **at least once**: if the process dies between the effect and the keeping, the
    ///   next attempt runs it again. Give the other service a key of
    ///   [`derive_key`](Self::derive_key), which is the same in every attempt, and the effect there
    ///   happens once.
    /// - A step that returns an error keeps nothing and runs again in the next attempt.
    /// - Results are kept as long as the record is not completed, and are gone when it is, when it
    ///   expires, or when the key is freed. They belong to the request: a different request
    ///   that takes the key of a failed one does not get them.
    ///
    /// `name` tells the steps of one handler apart and must not change while old records live.
    /// Take all steps before [`complete_in`](Self::complete_in).
    ///
    /// # Errors
    ///
    /// [`StepError`], with the step's own error if it failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the step wherever it is.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_idempotency::{Idempotency, StepError};
    /// # use std::io::Error as ProviderError;
    /// # async fn charge(key: uuid::Uuid) -> Result<String, ProviderError> { Ok(key.to_string()) }
    ///
    /// async fn pay(idempotency: Idempotency) -> Result<String, StepError<ProviderError>> {
    ///     let key = idempotency.derive_key("charge");
    ///     let charge = idempotency.step("charge", || charge(key)).await?;
    ///     Ok(format!("charged: {charge}"))
    /// }
    /// # let _ = pay;
    /// ```
    pub async fn step<T, E, Run, Fut>(&self, name: &str, run: Run) -> Result<T, StepError<E>>
    where
        T: Serialize + DeserializeOwned,
        Run: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let journal = &self.0.journal;
        let _running = journal.begin(name).ok_or(StepError::Running)?;
        if let Some(kept) = journal.find(name).await.map_err(StepError::Store)? {
            return serde_json::from_value(kept).map_err(StepError::Format);
        }
        let result = run().await.map_err(StepError::Failed)?;
        let kept = serde_json::to_value(&result).map_err(StepError::Format)?;
        match journal.keep(name, kept).await.map_err(StepError::Store)? {
            Settled::Applied => Ok(result),
            Settled::Stale => Err(StepError::LeaseLost),
        }
    }
}

/// Why a step has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum StepError<E> {
    /// The step itself failed; nothing is kept.
    Failed(E),
    /// The result cannot be written as JSON, or a kept one is not what the step returns.
    Format(serde_json::Error),
    /// Another execution has the key: this one stalled past its lease. The step ran.
    LeaseLost,
    /// A step of the same name is running in this execution.
    Running,
    /// The store could not be asked, or could not keep the result. In the latter case the step ran.
    Store(StoreError),
}

/// The kinds of [`StepError`], without the step's own error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StepErrorKind {
    /// The step itself failed.
    Failed,
    /// JSON does not fit.
    Format,
    /// Another execution has the key.
    LeaseLost,
    /// A step of the same name is running.
    Running,
    /// The store failed.
    Store,
}

impl<E> StepError<E> {
    /// Returns what kind of error this is.
    pub const fn kind(&self) -> StepErrorKind {
        match self {
            Self::Failed(_) => StepErrorKind::Failed,
            Self::Format(_) => StepErrorKind::Format,
            Self::LeaseLost => StepErrorKind::LeaseLost,
            Self::Running => StepErrorKind::Running,
            Self::Store(_) => StepErrorKind::Store,
        }
    }
}

impl<E> fmt::Display for StepError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed(_) => "a step failed",
            Self::Format(_) => "the result of a step does not fit what is kept as JSON",
            Self::LeaseLost => "another execution has taken the idempotency key over",
            Self::Running => "a step of the same name is running",
            Self::Store(_) => "the result of a step could not be read or kept",
        })
    }
}

impl<E: Error + 'static> Error for StepError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Format(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::LeaseLost | Self::Running => None,
        }
    }
}

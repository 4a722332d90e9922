//! Where the results of durable steps are kept.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use crate::{Settled, StoreError};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The results of an execution's steps, as the layer writes them: a text that no store looks into.
pub type Steps = Arc<str>;

/// What a store does with the results of one execution's steps.
///
/// They belong to the record: they are gone with it, and stay when the key is claimed again with
/// the same fingerprint after a crash or a failure.
pub trait KeepSteps: Send + Sync + 'static {
    /// Reads what earlier executions of the key, or this one, have kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn load(&self) -> BoxFuture<'_, Option<Steps>>;

    /// Keeps `steps` in the place of what was kept before, if the key is still this execution's.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; they may or may not be kept, and keeping them again is safe.
    fn keep<'a>(&'a self, steps: &'a Steps) -> BoxFuture<'a, Settled>;
}

/// Where one execution keeps the results of its steps. Cloning is cheap.
#[derive(Clone)]
pub struct StepJournal(Arc<dyn KeepSteps>);

impl StepJournal {
    /// Uses what a store gives.
    #[must_use]
    pub fn new(journal: Arc<impl KeepSteps>) -> Self {
        Self(journal)
    }

    /// Reads what is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing changes, so dropping the future is harmless.
    pub async fn load(&self) -> Result<Option<Steps>, StoreError> {
        self.0.load().await
    }

    /// Keeps `steps`, if the key is still this execution's.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; they may or may not be kept, and keeping them again is safe.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves them kept or as they were.
    pub async fn keep(&self, steps: &Steps) -> Result<Settled, StoreError> {
        self.0.keep(steps).await
    }
}

impl fmt::Debug for StepJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepJournal").finish_non_exhaustive()
    }
}

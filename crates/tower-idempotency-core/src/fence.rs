//! Completing a record inside the transaction of the handler.

use std::future::Future;

use crate::{Completed, Settled, StoreError};

/// A database transaction that a record can be completed in, together with the handler's effects.
///
/// A store that can do so puts its fence `F` into the extensions of a claimed request
/// (see [`Execution::install`](crate::Execution::install)) and implements this for its driver's
/// transactions. The parameter lets a store's crate implement it for a type of its driver.
///
/// # What an implementation must hold to
///
/// 1. The token is compared in the transaction, in the statement that writes.
/// 2. The record stays locked until the transaction ends, so that nobody can take the key over in
///    between; nobody waits for it either.
/// 3. After anything but `Applied`, the transaction cannot be committed, not even by a caller
///    that overlooks the outcome.
pub trait FencedTransaction<F> {
    /// Completes the record in this transaction, if the fence's token is still the present one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the transaction cannot be committed any more.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future, roll the transaction back.
    fn complete(
        &mut self,
        fence: &F,
        completed: &Completed,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Completes the record in this transaction and commits it.
    ///
    /// `Applied` says that effect and record are committed: it must be certain. A transaction whose
    /// commit would not be the end, since it is within another one, is refused.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: [`CommitUnknown`](crate::StoreErrorKind::CommitUnknown) if the commit was
    /// not answered, and any other kind if nothing was or can be committed.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future, the transaction was committed or will be rolled back.
    fn complete_and_commit(
        self,
        fence: &F,
        completed: &Completed,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send
    where
        Self: Sized;
}

//! Completing a record inside the transaction of the handler.

use std::future::Future;

use crate::{Completed, Settled, StoreError};

/// Effects of a handler's that can be committed together with the completion of its record.
///
/// A store that can do so puts its fence `F` into the extensions of a claimed request
/// (see [`Execution::install`](crate::Execution::install)) and implements this for its driver's
/// transactions, and for whatever else it can commit.
///
/// # What an implementation must hold to
///
/// 1. The token is compared in the transaction, in the statement that writes.
/// 2. The record stays locked until the transaction ends, so that nobody can take the key over in
///    between; nobody waits for it either.
/// 3. After anything but `Applied`, the transaction cannot be committed, not even by a caller
///    that overlooks the outcome.
pub trait FencedCommit<F> {
    /// Completes the record in the transaction of the effects and commits it.
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
    /// After dropping the future, the transaction was or will be committed, or rolled back: the
    /// record says which.
    fn complete_and_commit(
        self,
        fence: &F,
        completed: &Completed,
    ) -> impl Future<Output = Result<Settled, StoreError>> + Send
    where
        Self: Sized;
}

/// A database transaction that a record can be completed in, together with the handler's effects,
/// before the handler commits it.
///
/// The parameter lets a store's crate implement it for a type of its driver.
pub trait FencedTransaction<F>: FencedCommit<F> {
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
}

//! The transactional mode: effect and record in one transaction that the handler is given.
//!
//! SQLite has one writer, so the transaction begins only when the handler asks for it. Until then
//! the execution is a lease like any other; the transaction is completed with the lease's fence.

mod execution;
#[cfg(feature = "axum")]
mod extract;
mod slot;
mod store;
mod tx;

#[cfg(feature = "axum")]
pub use extract::TxRejection;
pub use {
    execution::TransactionalExecution,
    store::TransactionalStore,
    tx::{Tx, TxError},
};

//! The transactional mode: effect and record in one transaction that the handler is given.
//!
//! ```text
//! TransactionalStore::claim   BEGIN, try the key's lock, look the record up
//!   └ TransactionExecution    holds the slot
//!       ├ Slot                the transaction, while nobody uses it
//!       │   └ Tx              the handler's hold on it; back into the slot when dropped
//!       └ ending              keep the response and COMMIT, or ROLLBACK;
//!                             ask what became of a COMMIT whose answer got lost
//! ```

mod builder;
mod claim;
mod ending;
mod execution;
#[cfg(feature = "axum")]
mod extract;
mod open;
mod slot;
mod spy;
mod steps;
mod store;
mod tx;

#[cfg(feature = "axum")]
pub use extract::TxRejection;
pub use {
    builder::{Isolation, TransactionalStoreBuilder},
    execution::TransactionExecution,
    spy::TxConnection,
    store::TransactionalStore,
    tx::{Tx, TxUnavailable},
};

//! The fenced mode as a store of its own: a success is kept in the handler's transaction, or not
//! at all.
//!
//! ```text
//! FencedStore::claim      as the leased store, or without the wait for the disk
//!   └ FencedExecution     a lease that keeps refusals by itself, and no success
//!       └ PostgresFence   what the handler's transaction is completed with
//! ```

mod builder;
mod execution;
mod store;

pub use {
    builder::{ClaimDurability, FencedStoreBuilder},
    execution::FencedExecution,
    store::FencedStore,
};

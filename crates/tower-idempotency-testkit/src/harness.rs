use std::{future::Future, time::Duration};

use tower_idempotency_core::{RecordId, Store};

/// An empty store of its own for one case, and power over its time.
///
/// What the harness sets up (a schema, a file) should go when it is dropped.
pub trait Harness: Send + Sync + 'static {
    /// The store that is proven.
    type Store: Store;

    /// Returns the store.
    fn store(&self) -> &Self::Store;

    /// Lets time pass for the store.
    ///
    /// A store with an injected clock moves that;
    /// one that asks a database's clock moves all times of all records into the past instead.
    /// Times that never come must stay so.
    fn advance(&self, by: Duration) -> impl Future<Output = ()> + Send;

    /// Makes the kept response of a record unreadable.
    ///
    /// Returns false if the store keeps no encoded form that could be damaged;
    /// the cases about it then hold by themselves.
    fn damage(&self, id: &RecordId) -> impl Future<Output = bool> + Send;
}

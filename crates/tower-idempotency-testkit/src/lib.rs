//! What proves a store, and what breaks one on purpose.
//!
//! - [`store_conformance!`] turns the published suite into one named test for each case.
//!   It is the contract of [`Store`](tower_idempotency_core::Store) in executable form;
//!   the stores of this project and those of third parties run the same one.
//! - [`transactional_conformance!`] is the part of it that holds for a store whose execution is a
//!   transaction too.
//! - [`FaultStore`] wraps any store and fails, delays or loses the acknowledgement of any verb.
//! - [`ManualClock`] stands still until it is told.
//!
//! # Proving a store of your own
//!
//! Implement [`Harness`] for something that owns an empty, isolated store, and name a function
//! that makes one:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tower_idempotency_core::RecordId;
//! use tower_idempotency_memory::MemoryStore;
//! use tower_idempotency_testkit::{Harness, ManualClock};
//!
//! struct Memory {
//!     store: MemoryStore,
//!     clock: Arc<ManualClock>,
//! }
//!
//! impl Harness for Memory {
//!     type Store = MemoryStore;
//!
//!     fn store(&self) -> &MemoryStore {
//!         &self.store
//!     }
//!
//!     async fn advance(&self, by: Duration) {
//!         self.clock.advance(by);
//!     }
//!
//!     async fn damage(&self, _: &RecordId) -> bool {
//!         false // there is no encoded form that could be damaged
//!     }
//! }
//!
//! async fn memory() -> Memory {
//!     let clock = Arc::new(ManualClock::new());
//!     let store = MemoryStore::builder().clock(clock.clone()).build().unwrap();
//!     Memory { store, clock }
//! }
//!
//! tower_idempotency_testkit::store_conformance!(memory);
//! # fn main() {}
//! ```
//!
//! Every case gets a harness of its own and at most a minute.

mod clock;
pub mod conformance;
mod fault;
mod harness;
mod run;

pub use crate::{
    clock::ManualClock,
    fault::{FaultExecution, FaultStore, Faults, Gate, Verb},
    harness::Harness,
    run::run,
};

//! Natural batching: operations that are in flight together go together.
//!
//! A statement that carries sixty-four operations costs little more than one that carries one:
//! one round trip, one commit. This crate decides which operations share one, and knows nothing
//! of what they are; a [`Backend`] opens connections and runs batches on them.
//!
//! 1. An operation is put into a queue. If one of a few *lanes* is free, a task begins.
//! 2. The task gets a connection and then takes what is queued, up to a number and a size,
//!    and runs it as one batch.
//! 3. Whatever arrives meanwhile is the next batch. When nothing is queued, or only a few that
//!    another lane will soon have room for, the task puts its connection away and ends.
//!
//! So nobody ever waits for company: a lone operation goes at once, and batches grow just as far
//! as the load makes them.
//!
//! # Guarantees
//!
//! - A caller that goes away before its operation is taken takes it back; one that goes away later
//!   changes nothing: batches run in tasks of their own.
//! - Each operation gets its own answer, an error when its lane dies included.
//! - An operation that the server refuses fails alone ([`Ran::Poisoned`]).
//! - A lane that waits for its connection holds no operation: others take them.
//! - The queue is bounded for those that can be refused ([`Batcher::run_if_room`]).
//!
//! # Example
//!
//! ```
//! use std::convert::Infallible;
//! use tower_idempotency_batch::{Backend, Batcher, Limits, Ran};
//!
//! struct Doubling;
//!
//! impl Backend for Doubling {
//!     type Connection = ();
//!     type Operation = u32;
//!     type Key = u32;
//!     type Answer = u32;
//!     type Error = Infallible;
//!
//!     async fn connect(&self) -> Result<(), Infallible> {
//!         Ok(())
//!     }
//!
//!     async fn reuse(&self, connection: ()) -> Option<()> {
//!         Some(connection)
//!     }
//!
//!     async fn run(&self, connection: (), batch: &[u32]) -> Ran<Self> {
//!         let answers = batch.iter().map(|number| number * 2).collect();
//!         Ran::Done { connection, answers }
//!     }
//!
//!     fn weight(&self, _: &u32) -> usize {
//!         4
//!     }
//!
//!     fn key(&self, _: &u32) -> Option<u32> {
//!         None
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let batcher = Batcher::new(Doubling, Limits::default());
//! assert_eq!(batcher.run(21).await.unwrap(), 42);
//! # });
//! ```

mod backend;
mod batcher;
mod error;
mod lane;
mod limits;
mod queue;
#[cfg(test)]
mod tests;

pub use crate::{
    backend::{Backend, Ran},
    batcher::{Batcher, WeakBatcher},
    error::BatchError,
    limits::Limits,
};

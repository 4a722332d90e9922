//! The bounded in-memory store of `tower-idempotency`.
//!
//! It is the reference: each verb reads like the contract of
//! [`Store`](tower_idempotency_core::Store), and it passes the same conformance suite as the
//! databases.
//!
//! # When to choose it
//!
//! For tests, for development, and for one process whose keys may be forgotten when it restarts.
//!
//! # What this does not do
//!
//! Nothing survives the process, and two processes know nothing of each other:
//! behind a load balancer, a retry that reaches another process runs again.
//!
//! # Bounds
//!
//! It holds at most 100,000 records and 256 MiB of responses, unless told otherwise.
//! When it is full it drops what has expired, and otherwise refuses new claims
//! ([`StoreErrorKind::Full`](tower_idempotency_core::StoreErrorKind::Full), which clients see as
//! 503). It never drops a live record to make room.
//!
//! # Example
//!
//! ```
//! use tower_idempotency_core::{Claim, ClaimRequest, Fingerprint, IdempotencyKey, Scope, Store};
//! use tower_idempotency_memory::MemoryStore;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tower_idempotency_testkit::run(async {
//! let store = MemoryStore::new();
//! let scope = Scope::new("alice", "POST /payments");
//! let request = ClaimRequest::new(scope, IdempotencyKey::new("k-1")?, Fingerprint::OFF);
//! assert!(matches!(store.claim(&request).await?, Claim::Acquired(_)));
//!
//! let duplicate = ClaimRequest::new(request.scope, request.key, Fingerprint::OFF);
//! assert!(matches!(store.claim(&duplicate).await?, Claim::InProgress { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```

mod builder;
mod by_id;
mod execution;
mod record;
mod records;
mod steps;
mod store;

pub use crate::{builder::MemoryStoreBuilder, execution::MemoryExecution, store::MemoryStore};

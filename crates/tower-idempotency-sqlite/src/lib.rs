//! The embedded SQLite store of `tower-idempotency`.
//!
//! For services on one host: nothing to install, one file, several processes if need be.
//!
//! # Example
//!
//! ```no_run
//! use tower_idempotency_sqlite::SqliteStore;
//!
//! # async fn example() -> Result<(), tower_idempotency_core::StoreError> {
//! let store = SqliteStore::open("app.db").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! The whole conformance suite holds, for one process and for several on the same file.
//! The file is in WAL mode and every commit is flushed (`synchronous = FULL`):
//! a claim or a response that was acknowledged survives a power failure.
//!
//! Duplicates and replays only read, so they go on while somebody else holds the write lock.
//! Every write names the token that it saw or owns; SQLite lets one writer at a time in.
//! Only SQLite's own clock judges.
//!
//! # Batches
//!
//! Claims, completions, renewals and releases that are in flight together go in one transaction,
//! and wait for the disk once. Nobody waits for company: what arrives while a batch is written is
//! the next one, and a lone operation goes at once, by the statement that it would be anyway.
//!
//! Every answer comes after its commit, so nothing is less durable. An operation that SQLite
//! refuses fails alone. A claim whose caller goes away while it waits for its batch is not made.
//! Sweeps, the transactions of handlers and other processes have their turn between two batches.
//!
//! [`max_queued_claims`](SqliteStoreBuilder::max_queued_claims) bounds what waits;
//! [`batching(false)`](SqliteStoreBuilder::batching) gives every operation a commit of its own.
//!
//! # Effect and response in one commit
//!
//! A handler whose effects are in the same file calls `Idempotency::complete_in` at the end of its
//! own transaction: the response is kept there, and the lease's token compared ([`SqliteFence`]).
//! Or the layer does it for the handler: [`SqliteStore::transactional`] hands out the transaction
//! ([`Tx`]).
//!
//! ```
//! use axum::{extract::State, http::{Response, StatusCode}};
//! use sqlx::SqlitePool;
//! use tower_idempotency::Idempotency;
//!
//! async fn pay(
//!     State(pool): State<SqlitePool>,
//!     idempotency: Idempotency,
//! ) -> Result<Response<String>, StatusCode> {
//!     match try_to_pay(&pool, &idempotency).await {
//!         Ok(response) => Ok(response),
//!         Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
//!     }
//! }
//!
//! async fn try_to_pay(
//!     pool: &SqlitePool,
//!     idempotency: &Idempotency,
//! ) -> Result<Response<String>, Box<dyn std::error::Error + Send + Sync>> {
//!     let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
//!     sqlx::query("INSERT INTO payments (amount) VALUES (?1)")
//!         .bind(100)
//!         .execute(&mut *transaction)
//!         .await?;
//!     let mut response = Response::new("{\"paid\":100}".to_owned());
//!     *response.status_mut() = StatusCode::CREATED;
//!     idempotency.complete_in(&mut transaction, &response).await?;
//!     transaction.commit().await?;
//!     Ok(response)
//! }
//! # let _: axum::routing::MethodRouter<SqlitePool> = axum::routing::post(pay);
//! ```
//!
//! # Bounds
//!
//! Every verb ends within [`operation_timeout`](SqliteStoreBuilder::operation_timeout);
//! waiting for another process's write lock is part of it.
//!
//! # What this does not do
//!
//! Several hosts cannot share the file: SQLite's locks do not work over network file systems.
//! The clock is the host's, so a step of it moves leases and expiry.
//! In-memory databases are refused: use `tower-idempotency-memory`.

mod batch;
mod builder;
mod claim;
mod error;
mod execution;
mod fence;
mod open;
mod operation;
mod resolve;
mod row;
mod shared;
mod sql;
mod steps;
mod store;
mod transactional;

pub use crate::{
    builder::SqliteStoreBuilder, execution::SqliteExecution, fence::SqliteFence, store::SqliteStore,
};
#[cfg(feature = "axum")]
pub use transactional::TxRejection;
pub use transactional::{TransactionalExecution, TransactionalStore, Tx, TxError};

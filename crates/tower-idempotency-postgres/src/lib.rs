//! The Postgres store of `tower-idempotency`.
//!
//! For services with several processes, or whose keys must survive a restart of the host.
//!
//! # Example
//!
//! ```no_run
//! use tower_idempotency_postgres::PostgresStore;
//!
//! # async fn example() -> Result<(), tower_idempotency_core::StoreError> {
//! let store = PostgresStore::connect("postgres://app@localhost/app").await?;
//! store.migrate().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! - A claim is **one statement** that inserts a record only if it sees none. Shared by several
//!   claims, it also reads the records that were there; a duplicate that comes alone is read by a
//!   statement more. A duplicate costs look-ups by the primary key, and writes nothing. Claims of
//!   one key that meet are told apart by the primary key.
//! - Claims, completions, renewals and releases that are **in flight together share a statement and
//!   a commit**, on two connections that the pool opens and that are then the store's own
//!   ([`batch_connections`](PostgresStoreBuilder::batch_connections)). Nobody waits for company.
//! - A record whose time is over is taken by a second statement that names the token it saw.
//! - Renewing, completing and releasing compare the token in the statement that writes.
//! - The token is the caller's, so a claim or a completion whose acknowledgement was lost
//!   recognises itself when it is tried again; the store does so when a connection breaks.
//! - Only the server's clock judges, as each statement finds it. The application's clock does not
//!   matter, nor does the session's time zone.
//!
//! # Guarantees
//!
//! The whole conformance suite holds, on Postgres 15 and 18, at any default isolation level.
//! No connection is held while a handler runs (but in the transactional mode), no session state is
//! used on connections that are anybody else's, and no statement waits for a row that another transaction holds open, completing one's
//! own record excepted.
//!
//! # Effect and response in one commit
//!
//! Where a handler's effects are in the same database, a crash between them and the record need not
//! repeat them:
//!
//! - **Fenced commit**: the handler commits its own transaction by
//!   `Idempotency::complete_and_commit`, or calls `complete_in` before it commits, which
//!   compares the lease's token there ([`PostgresFence`]). [`PostgresStore::fenced`] makes that a
//!   duty, and can spare its claims the wait for the disk ([`ClaimDurability`]). Where one statement
//!   is all that a handler writes, it can be given in the place of the transaction ([`Effect`]).
//! - **Transactional mode**: [`PostgresStore::transactional`] hands the handler the transaction
//!   ([`Tx`]) and commits it together with the response ([`TransactionalStore`]).
//!
//! ```
//! use axum::{Extension, http::{Response, StatusCode}};
//! use sqlx::PgPool;
//! use tower_idempotency::Idempotency;
//!
//! type Failed = (StatusCode, String);
//!
//! fn failed(error: impl std::error::Error) -> Failed {
//!     (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
//! }
//!
//! async fn pay(
//!     idempotency: Idempotency,
//!     Extension(pool): Extension<PgPool>,
//! ) -> Result<Response<String>, Failed> {
//!     let mut transaction = pool.begin().await.map_err(failed)?;
//!     sqlx::query("INSERT INTO payments (amount) VALUES ($1)")
//!         .bind(100)
//!         .execute(&mut *transaction)
//!         .await
//!         .map_err(failed)?;
//!     let mut response = Response::new("paid".to_owned());
//!     *response.status_mut() = StatusCode::CREATED;
//!     idempotency.complete_and_commit(transaction, &response).await.map_err(failed)?;
//!     Ok(response)
//! }
//! # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(pay));
//! ```
//!
//! # Bounds
//!
//! Every verb ends within [`operation_timeout`](PostgresStoreBuilder::operation_timeout), the wait
//! for a connection included. A connection whose statement is still running then is closed, and
//! not given to anybody else. [`PostgresStore::connect`] also sets `lock_timeout` and
//! `statement_timeout` on the server; set them on a pool of your own, too, or a statement that
//! hangs there goes on without anybody listening.
//!
//! # Deployment
//!
//! - The user needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on the table;
//!   [`migrate`](PostgresStore::migrate) needs `CREATE` on the schema.
//! - The driver's pool tests each connection before it gives it away, which costs a round trip for
//!   every transaction of the transactional mode, and for every operation that goes by itself.
//!   The pool that [`connect`](PostgresStore::connect) makes tests only those that were idle for
//!   50 ms (`test_before_acquire(false)`, and `before_acquire` with a ping); a pool of your own can
//!   do so, too: the store runs a statement again that meets a broken connection.
//! - The records must be where they are not lost: with asynchronous replication, a failover can
//!   forget the last claims.
//! - **`PgBouncer`** in transaction mode needs [`Pooling::Transaction`]; without it the store
//!   refuses to start there ([`PostgresStore::check`]).
//!
//! # What this does not do
//!
//! Without a fenced commit or the transactional mode, the handler's writes are in transactions of
//! its own: if the process dies between the handler's commit and the completion, the handler runs
//! again after the lease.

mod batch;
mod builder;
mod claim;
mod connect;
mod connection;
mod connections;
mod effect;
mod error;
mod execution;
mod fence;
mod fenced;
mod migrate;
mod place;
mod pooling;
mod resolve;
mod row;
mod sabotage;
mod schema;
mod shared;
mod sql;
mod steps;
mod store;
mod transactional;

pub use crate::{
    builder::PostgresStoreBuilder,
    effect::Effect,
    execution::PostgresExecution,
    fence::PostgresFence,
    fenced::{ClaimDurability, FencedExecution, FencedStore, FencedStoreBuilder},
    pooling::Pooling,
    store::PostgresStore,
};
#[cfg(feature = "axum")]
pub use transactional::TxRejection;

#[cfg(feature = "__sabotage")]
#[doc(hidden)]
pub use crate::sabotage::Guard;
pub use transactional::{
    Isolation, TransactionExecution, TransactionalStore, TransactionalStoreBuilder, Tx,
    TxConnection, TxUnavailable,
};

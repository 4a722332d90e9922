//! Inserting, claiming and numbering rows once, with [sqlx] on Postgres and SQLite.
//!
//! A read followed by a write that depends on it is not one step: two requests read the same and
//! both write. These are the single steps that databases have for it, each in a few lines of your
//! own SQL, and each with its errors told apart.
//!
//! | the fault | instead |
//! |---|---|
//! | a form sent twice makes two rows | [`insert_or_fetch`] by a token of the form |
//! | an invite used twice, since "is it unused?" came before "mark it used" | [`claim_row`] |
//! | `count + 1` gives two requests one number | [`Series::next_gapless`], or [`Series::next_with_gaps`] |
//! | a random code that is taken is an error | [`Retry`] on that constraint |
//! | any unique violation counts as "duplicate" | [`is_violation_of`] the one that means it |
//!
//! # Example
//!
//! ```
//! use sqlx::PgPool;
//! use sqlx_once::{Once, Series, insert_or_fetch};
//!
//! /// Starts an assessment once for each token, and gives it the year's next number.
//! async fn start(pool: &PgPool, token: &str) -> Result<String, sqlx_once::Error> {
//!     let mut transaction = pool.begin().await?;
//!     let series = Series::new("ASM", "2025")?;
//!     let number = series.label(series.next_gapless(&mut *transaction).await?, 3);
//!     let insert = "INSERT INTO assessments (token, number) VALUES ($1, $2)
//!         ON CONFLICT (token) DO NOTHING RETURNING number";
//!     let fetch = "SELECT number FROM assessments WHERE token = $1";
//!     let started = insert_or_fetch(
//!         &mut transaction,
//!         sqlx::query_as::<_, (String,)>(insert).bind(token).bind(number),
//!         sqlx::query_as(fetch).bind(token),
//!     )
//!     .await?;
//!     match started {
//!         Once::Inserted((number,)) => {
//!             transaction.commit().await?;
//!             Ok(number)
//!         }
//!         // The transaction is rolled back, and the number goes back with it.
//!         Once::Existing((number,)) => Ok(number),
//!     }
//! }
//! # let _ = start;
//! ```
//!
//! # Guarantees
//!
//! At READ COMMITTED, Postgres's default, and in SQLite, shown by tests that race on both:
//!
//! - of many inserts with one token, one is told that it inserted, and all get the same row;
//! - of many claims of one row, one wins;
//! - of many numbers of one series, no two are the same; the gapless ones have no gap, however many
//!   transactions are rolled back;
//! - only the constraint that was named is passed over, or tried again on.
//!
//! Above READ COMMITTED the database may refuse instead, which is [`ErrorKind::Serialization`]: the
//! whole transaction has to be run again.
//!
//! # Connections
//!
//! What takes part in a transaction of yours takes `&mut *transaction` or `&mut transaction`, or
//! whatever dereferences to sqlx's connection. Where it makes sense alone, it takes a `&pool`, too.
//! No session state is used, and no background task. Waiting is the database's: bound it by
//! `lock_timeout`, or SQLite's `busy_timeout`. Behind a pooler in transaction mode, call everything
//! in a transaction, and mark your own queries `persistent(false)`.
//!
//! In SQLite, begin transactions that will write with `begin_with("BEGIN IMMEDIATE")`: one that has
//! read first is refused if somebody else has written since.
//!
//! # What this does not do
//!
//! It does not keep responses, so a retry is answered by your code, from the row. An idempotency
//! layer in front does that for all routes; this is what holds below it.
//!
//! # Features
//!
//! `postgres` (default), `sqlite`, and `any` for sqlx's driver that chooses when the program runs.

mod access;
mod backend;
mod checked;
mod claim;
mod error;
mod insert;
mod numbers;
mod retry;
mod violation;

#[doc(hidden)]
pub use crate::backend::Dialect;
pub use crate::{
    access::Access,
    backend::Backend,
    claim::{RowClaim, claim_row},
    error::{AsSqlxError, Error, ErrorKind},
    insert::{Once, insert_or_fetch},
    numbers::{POSTGRES_MIGRATION, SQLITE_MIGRATION, Series, migrate},
    retry::{Retry, Tries},
    violation::is_violation_of,
};

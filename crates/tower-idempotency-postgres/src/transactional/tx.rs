use std::{
    error::Error,
    fmt,
    ops::{Deref, DerefMut},
};

use http::Extensions;

use super::{open::OpenTransaction, slot::Slot, spy::TxConnection};
use crate::error;

/// The transaction in which effect and record are committed together.
///
/// A handler takes it as an axum extractor (feature `axum`), or by [`Tx::take_from`], and just
/// writes: the layer keeps the response in the same transaction and commits it. If the response is
/// not kept, or the handler fails or panics, everything is rolled back and the key is free again.
/// A handler cannot commit it.
///
/// After a statement that failed, Postgres accepts nothing but a rollback. A handler that answers
/// such an error with a refusal (a unique violation with 409, say) keeps its word: everything is
/// rolled back, and the refusal is kept by itself. Success is answered 503 then. To go on after a
/// failed statement, run it in a transaction begun in this one.
///
/// There is one for each request; give it to functions as `&mut tx`
/// ([`TxConnection`]), or as `&mut **tx` where they take a [`sqlx::PgConnection`].
/// Beginning a transaction in it makes a savepoint.
///
/// The layer's own statement comes last, in whatever the handler has left: if it sets a
/// `search_path` or a `ROLE` for the transaction, name the records'
/// [`schema`](crate::PostgresStoreBuilder::schema) to the store, and give the role the rights on
/// the table.
///
/// # Example
///
/// ```
/// use axum::http::StatusCode;
/// use tower_idempotency_postgres::Tx;
///
/// async fn pay(mut tx: Tx) -> Result<StatusCode, StatusCode> {
///     sqlx::query("INSERT INTO payments (amount) VALUES ($1)")
///         .bind(100)
///         .execute(&mut *tx)
///         .await
///         .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
///     Ok(StatusCode::CREATED)
/// }
/// # let _ = pay;
/// ```
#[derive(Debug)]
pub struct Tx {
    connection: TxConnection,
    slot: Slot,
}

impl Tx {
    pub(crate) fn new(open: Box<OpenTransaction>, slot: Slot) -> Self {
        let connection = TxConnection::new(open);
        Self { connection, slot }
    }

    /// Takes the transaction of a claimed request out of the request's extensions.
    ///
    /// # Errors
    ///
    /// [`TxUnavailable`] if the request has none, or somebody has it already.
    pub fn take_from(extensions: &Extensions) -> Result<Self, TxUnavailable> {
        extensions
            .get::<Slot>()
            .ok_or(TxUnavailable::NoTransaction)?
            .take()
    }

    /// Tells the layer of an error of a statement that was not run through
    /// [`TxConnection`], so that the request is run again if the error says that two transactions
    /// met, and the layer is set up to do so.
    pub fn note(&mut self, error: &sqlx::Error) {
        if error::is_conflict(error) {
            self.connection.open_mut().met_another = true;
        }
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(open) = self.connection.close() {
            self.slot.give_back(open);
        }
    }
}

impl Deref for Tx {
    type Target = TxConnection;

    fn deref(&self) -> &TxConnection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut TxConnection {
        &mut self.connection
    }
}

/// Why a request has no [`Tx`] to give.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TxUnavailable {
    /// The execution has ended, and its transaction with it.
    Ended,
    /// No key was claimed in a [`TransactionalStore`](crate::TransactionalStore) for this request.
    NoTransaction,
    /// Somebody has taken it already and not dropped it yet.
    Taken,
}

impl fmt::Display for TxUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "the request has ended, and its transaction with it",
            Self::NoTransaction => {
                "the request has no transaction: the layer must use a transactional store, cover \
                 this route, and require a key"
            }
            Self::Taken => "the request's transaction is in use: take `Tx` once, and pass it on",
        })
    }
}

impl Error for TxUnavailable {}

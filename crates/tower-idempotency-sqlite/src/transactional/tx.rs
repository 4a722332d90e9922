use std::{
    error::Error,
    fmt,
    ops::{Deref, DerefMut},
};

use http::Extensions;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tower_idempotency_core::StoreError;

use super::slot::Slot;

/// The transaction in which effect and record are committed together.
///
/// A handler takes it as an axum extractor (feature `axum`), or by [`Tx::take_from`], and just
/// writes: the layer keeps the response in the same transaction and commits it. If the response is
/// not kept, or the handler fails or panics, everything is rolled back and the key is free again.
/// A handler cannot commit it.
///
/// It is begun when it is first asked for, and holds SQLite's write lock from then on: nobody else
/// can write, and no other key can be claimed, until the handler has ended. Ask late, and be quick.
///
/// # Example
///
/// ```
/// use axum::http::StatusCode;
/// use tower_idempotency_sqlite::Tx;
///
/// async fn pay(mut tx: Tx) -> Result<StatusCode, StatusCode> {
///     sqlx::query("INSERT INTO payments (amount) VALUES (?1)")
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
    /// `None` once it was given back.
    transaction: Option<Transaction<'static, Sqlite>>,
    slot: Slot,
}

const GIVEN_BACK: &str = "the transaction is given back by drop alone";

impl Tx {
    pub(crate) const fn new(transaction: Transaction<'static, Sqlite>, slot: Slot) -> Self {
        Self {
            transaction: Some(transaction),
            slot,
        }
    }

    /// Begins the transaction of a claimed request, or takes it if it was begun before.
    ///
    /// # Errors
    ///
    /// [`TxError`] if the request has none, somebody has it already, or the write lock could not be
    /// had in time.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future the transaction cannot be taken again, and the response of this
    /// request is not kept.
    pub async fn take_from(extensions: &Extensions) -> Result<Self, TxError> {
        let slot = extensions.get::<Slot>().ok_or(TxError::NoTransaction)?;
        slot.take().await
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.slot.give_back(transaction);
        }
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.transaction.as_ref().expect(GIVEN_BACK)
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.transaction.as_mut().expect(GIVEN_BACK)
    }
}

/// Why a request has no [`Tx`] to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum TxError {
    /// The execution has ended, and its transaction with it.
    Ended,
    /// No key was claimed in a [`TransactionalStore`](crate::TransactionalStore) for this request.
    NoTransaction,
    /// The transaction could not be begun: somebody else is writing.
    Store(StoreError),
    /// Somebody has taken it already and not dropped it yet.
    Taken,
}

impl fmt::Display for TxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "the request has ended, and its transaction with it",
            Self::NoTransaction => {
                "the request has no transaction: the layer must use a transactional store, cover \
                 this route, and require a key"
            }
            Self::Store(_) => "the request's transaction could not be begun",
            Self::Taken => "the request's transaction is in use: take `Tx` once, and pass it on",
        })
    }
}

impl Error for TxError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Ended | Self::NoTransaction | Self::Taken => None,
        }
    }
}

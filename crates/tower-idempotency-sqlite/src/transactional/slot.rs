//! Where the transaction is while the handler has it, and while it has not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{Sqlite, Transaction};

use super::tx::{Tx, TxError};
use crate::shared::Shared;

/// The place of one execution's transaction.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    shared: Arc<Shared>,
    place: Arc<Mutex<Place>>,
}

#[derive(Debug, Default)]
enum Place {
    /// Nobody has asked for it.
    #[default]
    NotBegun,
    /// Nobody uses it.
    Here(Transaction<'static, Sqlite>),
    /// The handler has it.
    Taken,
    /// The execution has ended.
    Closed,
}

/// What is left of the transaction at the end of the execution.
pub(crate) enum Left {
    /// The handler has never asked for it.
    Nothing,
    /// Everything that the handler has written.
    Transaction(Transaction<'static, Sqlite>),
    /// The handler has kept it. It cannot be committed any more.
    Kept,
}

impl Slot {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            place: Arc::default(),
        }
    }

    /// Gives the transaction to the handler, and begins it first if need be.
    pub(crate) async fn take(&self) -> Result<Tx, TxError> {
        // A begin that is dropped midway leaves the place as if it had been taken for good.
        let before = std::mem::replace(&mut *self.lock(), Place::Taken);
        let transaction = match before {
            Place::Here(transaction) => transaction,
            Place::NotBegun => match self.begin().await {
                Ok(transaction) => transaction,
                Err(error) => {
                    *self.lock() = Place::NotBegun;
                    return Err(TxError::Store(error));
                }
            },
            Place::Taken => return Err(TxError::Taken),
            Place::Closed => {
                *self.lock() = Place::Closed;
                return Err(TxError::Ended);
            }
        };
        Ok(Tx::new(transaction, self.clone()))
    }

    /// Begins with the write lock, since a transaction that has read first may not get it later.
    async fn begin(
        &self,
    ) -> Result<Transaction<'static, Sqlite>, tower_idempotency_core::StoreError> {
        let writer = &self.shared.writer;
        self.shared
            .bounded(|| writer.begin_with("BEGIN IMMEDIATE"))
            .await
    }

    /// Takes the handler's transaction back; after the execution's end it is rolled back.
    pub(crate) fn give_back(&self, transaction: Transaction<'static, Sqlite>) {
        let mut place = self.lock();
        if matches!(*place, Place::Taken) {
            *place = Place::Here(transaction);
        }
    }

    /// Tells whether the transaction is open, so that nobody else can write.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.lock(), Place::Here(_) | Place::Taken)
    }

    /// Ends the execution.
    pub(crate) fn close(&self) -> Left {
        match std::mem::replace(&mut *self.lock(), Place::Closed) {
            Place::NotBegun | Place::Closed => Left::Nothing,
            Place::Here(transaction) => Left::Transaction(transaction),
            Place::Taken => Left::Kept,
        }
    }

    /// Each change is one step, so a place left by a thread that panicked is whole.
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Where the transaction is while the handler has it, and while it has not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    open::OpenTransaction,
    tx::{Tx, TxUnavailable},
};

/// The place of one execution's transaction.
#[derive(Clone, Debug)]
pub(crate) struct Slot(Arc<Mutex<Place>>);

#[derive(Debug)]
enum Place {
    /// Nobody uses the transaction.
    Here(Box<OpenTransaction>),
    /// The handler has it.
    Taken,
    /// The execution has ended: whoever still has the transaction cannot give it back.
    Closed,
}

impl Slot {
    pub(crate) fn new(open: OpenTransaction) -> Self {
        Self(Arc::new(Mutex::new(Place::Here(Box::new(open)))))
    }

    /// Gives the transaction to the handler.
    pub(crate) fn take(&self) -> Result<Tx, TxUnavailable> {
        let mut place = self.lock();
        match std::mem::replace(&mut *place, Place::Taken) {
            Place::Here(open) => Ok(Tx::new(open, self.clone())),
            Place::Taken => Err(TxUnavailable::Taken),
            Place::Closed => {
                *place = Place::Closed;
                Err(TxUnavailable::Ended)
            }
        }
    }

    /// Takes the handler's transaction back.
    ///
    /// After the execution's end it is dropped, which rolls it back.
    pub(crate) fn give_back(&self, open: Box<OpenTransaction>) {
        let mut place = self.lock();
        if matches!(*place, Place::Taken) {
            *place = Place::Here(open);
        }
    }

    /// Ends the execution, and returns the transaction if the handler has given it back.
    pub(crate) fn close(&self) -> Option<OpenTransaction> {
        match std::mem::replace(&mut *self.lock(), Place::Closed) {
            Place::Here(open) => Some(*open),
            Place::Taken | Place::Closed => None,
        }
    }

    /// Each change is one step, so a place left by a thread that panicked is whole.
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The results of steps, as they are kept.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
};

use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tower_idempotency_core::{Attempt, Settled, StepJournal, StoreError, StoreErrorKind};

/// All steps of one execution.
#[derive(Debug)]
pub(super) struct Journal {
    store: StepJournal,
    attempt: Attempt,
    /// `None` until the store was asked what earlier attempts have kept.
    kept: Mutex<Option<Map<String, Value>>>,
    running: SyncMutex<HashSet<String>>,
}

/// A step that runs; the name can be used again when it is dropped.
pub(super) struct Running<'a> {
    journal: &'a Journal,
    name: &'a str,
}

impl Journal {
    pub(super) fn new(store: StepJournal, attempt: Attempt) -> Self {
        Self {
            store,
            attempt,
            kept: Mutex::default(),
            running: SyncMutex::default(),
        }
    }

    /// Begins a step; `None` if one of that name is running.
    pub(super) fn begin<'a>(&'a self, name: &'a str) -> Option<Running<'a>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Lazily: a guard that is made and dropped would end the step that is running.
        running.insert(name.to_owned()).then(|| Running {
            journal: self,
            name,
        })
    }

    /// Returns what a step has kept.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Value>, StoreError> {
        let mut kept = self.kept.lock().await;
        if kept.is_none() {
            *kept = Some(self.load().await?);
        }
        Ok(kept.as_ref().and_then(|kept| kept.get(name)).cloned())
    }

    /// Keeps what a step came to, with all that was kept before.
    pub(super) async fn keep(&self, name: &str, result: Value) -> Result<Settled, StoreError> {
        let mut kept = self.kept.lock().await;
        let mut next = kept.clone().unwrap_or_default();
        next.insert(name.to_owned(), result);
        let text = Value::Object(next.clone()).to_string();
        let settled = self.store.keep(&Arc::from(text)).await?;
        if settled == Settled::Applied {
            *kept = Some(next);
        }
        Ok(settled)
    }

    /// A first attempt cannot find anything, so it does not ask.
    async fn load(&self) -> Result<Map<String, Value>, StoreError> {
        if self.attempt == Attempt::FIRST {
            return Ok(Map::new());
        }
        let Some(text) = self.store.load().await? else {
            return Ok(Map::new());
        };
        serde_json::from_str(&text)
            .map_err(|error| StoreError::new(StoreErrorKind::Unreadable, error))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self
            .journal
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        running.remove(self.name);
    }
}

//! The memory store: the conformance suite, and its bounds.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod bounds;
mod listing;

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::RecordId;
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{Harness, ManualClock};

struct Memory {
    store: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Harness for Memory {
    type Store = MemoryStore;

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn damage(&self, _: &RecordId) -> bool {
        false
    }
}

async fn memory() -> Memory {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::builder().clock(clock.clone()).build().unwrap();
    Memory { store, clock }
}

mod conformance {
    use super::memory;

    tower_idempotency_testkit::store_conformance!(memory);
}

use std::sync::Arc;

use tower_idempotency_core::{Clock, ConfigError, SystemClock};

use crate::MemoryStore;

/// Sets up a [`MemoryStore`].
///
/// # Example
///
/// ```
/// use tower_idempotency_memory::MemoryStore;
///
/// let store = MemoryStore::builder().max_records(1_000).build()?;
/// assert!(MemoryStore::builder().max_records(0).build().is_err());
/// # let _ = store;
/// # Ok::<(), tower_idempotency_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `build` to get the store"]
pub struct MemoryStoreBuilder {
    max_records: usize,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
}

impl MemoryStoreBuilder {
    /// Holds at most so many records. Default: 100,000.
    ///
    /// Choose more than the keys that arrive within the retention; further claims are refused.
    pub const fn max_records(mut self, records: usize) -> Self {
        self.max_records = records;
        self
    }

    /// Holds at most so many bytes of responses. Default: 256 MiB.
    ///
    /// It is also the largest response that the store accepts. Keys and scopes are not counted.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Judges leases and expiry by this clock. Default: the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it may hold no record or no byte.
    pub fn build(self) -> Result<MemoryStore, ConfigError> {
        for (setting, value) in [
            ("max_records", self.max_records as u64),
            ("max_bytes", self.max_bytes),
        ] {
            if value == 0 {
                return Err(ConfigError::new(setting, "0", "must be at least 1"));
            }
        }
        Ok(self.make())
    }

    pub(crate) fn make(self) -> MemoryStore {
        MemoryStore::with(self.max_records, self.max_bytes, self.clock)
    }
}

impl Default for MemoryStoreBuilder {
    fn default() -> Self {
        Self {
            max_records: 100_000,
            max_bytes: 256 * 1024 * 1024,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::ConfigError;

use super::store::{Transactional, TransactionalStore};
use crate::PostgresStore;

/// The isolation level of the handler's transaction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it. The default.
    #[default]
    ReadCommitted,
    /// All statements see what was committed before the claim.
    RepeatableRead,
    /// As if no two transactions ran at the same time.
    Serializable,
}

impl Isolation {
    /// Returns what a transaction begins with.
    const fn begin(self) -> &'static str {
        match self {
            Self::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Self::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Self::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        }
    }
}

/// Sets up a [`TransactionalStore`].
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_idempotency_postgres::{Isolation, PostgresStore, TransactionalStore};
///
/// fn store(store: PostgresStore) -> Result<TransactionalStore, tower_idempotency_core::ConfigError> {
///     store
///         .transactional_builder()
///         .isolation(Isolation::Serializable)
///         .stall_timeout(Duration::from_secs(5))
///         .build()
/// }
/// # let _ = store;
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `build` to get the store"]
pub struct TransactionalStoreBuilder {
    store: PostgresStore,
    isolation: Isolation,
    stall_timeout: Duration,
}

impl TransactionalStoreBuilder {
    pub(crate) const fn new(store: PostgresStore) -> Self {
        Self {
            store,
            isolation: Isolation::ReadCommitted,
            stall_timeout: Duration::from_secs(30),
        }
    }

    /// Runs the handler's statements at this level. Default: [`Isolation::ReadCommitted`].
    ///
    /// Above it, a duplicate that comes at the very moment of the first request's commit may run
    /// the handler before it is told so; its transaction is then rolled back.
    /// So is one in which a new step was kept (`Idempotency::step`), since that is committed beside
    /// it: let the layer run the request again (`retry_conflicts`), which finds the step done.
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Lets the server end a transaction in which the handler has sent nothing for so long.
    /// Default: 30 s.
    ///
    /// It bounds how long a key stays locked whose process is stopped, or cut off from the network:
    /// the server's `idle_in_transaction_session_timeout` and its TCP keep-alives are set to it.
    /// Choose more than the longest pause between two statements of a handler.
    pub const fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall_timeout = timeout;
        self
    }

    /// Makes the store. Nothing is sent to the server.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the stall timeout is less than 100 ms or more than a day.
    pub fn build(self) -> Result<TransactionalStore, ConfigError> {
        let bounds = Duration::from_millis(100)..=Duration::from_secs(24 * 60 * 60);
        if !bounds.contains(&self.stall_timeout) {
            let value = format!("{:?}", self.stall_timeout);
            let must = "must be between 100ms and a day";
            return Err(ConfigError::new("stall_timeout", value, must));
        }
        Ok(self.make())
    }

    pub(crate) fn make(self) -> TransactionalStore {
        let shared = self.store.shared();
        let settings = settings_sql(self.stall_timeout);
        let transactional = Transactional {
            begin: self.isolation.begin(),
            lock_and_look: shared.sql.lock_and_look_with(&settings),
            shared,
        };
        TransactionalStore::with(self.store, Arc::new(transactional))
    }
}

/// What every transaction sets before it has the lock, which must not outlast an owner that stops
/// at once: its bound, and when its peer is probed, and how often.
fn settings_sql(stall: Duration) -> String {
    let stall_ms = stall.as_millis();
    let idle = (stall.as_secs() / 2).max(1);
    let interval = (stall.as_secs() / 8).max(1);
    format!("'{stall_ms}', '{idle}', '{interval}'")
}

use std::sync::Arc;

use super::store::FencedStore;
use crate::{PostgresStore, shared::Shared};

/// When the claims of a [`FencedStore`] are durable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClaimDurability {
    /// Before the handler runs. The default.
    #[default]
    BeforeTheHandler,
    /// At the latest with the handler's commit: a claim does not wait for the disk
    /// (`synchronous_commit = off`, for that statement alone).
    ///
    /// The server writes its log in order, so where an effect is durable its claim is, too.
    /// What a crash **of the database** can take with it is the claim of a handler that has not
    /// committed yet. The key is free again then, a retry runs, and the first handler cannot commit
    /// any more: `complete_in` finds no record of its own. A crash of the service changes nothing:
    /// the claim was committed.
    ///
    /// # What to know before choosing it
    ///
    /// - What the handler does **outside** of the transaction may be done again after a crash of
    ///   the database, and the second execution is not told: it is a first attempt, and
    ///   `Attempt::takeover` says no. With the claim of the first one its count is lost, so a key
    ///   may also have more attempts than the layer's bound.
    /// - Durable steps hold: a step's result is committed durably, and its claim with it. If the
    ///   claim was lost, keeping the step is refused. `derive_key` gives the same keys again.
    /// - Claims do not wait for synchronous replicas either; a failover is like a crash here.
    /// - Choose it where handlers only write to this database. Whoever commits with
    ///   `synchronous_commit = off` gives up more than this does.
    WithTheCommit,
}

/// Sets up a [`FencedStore`].
///
/// # Example
///
/// ```
/// use tower_idempotency_postgres::{ClaimDurability, FencedStore, PostgresStore};
///
/// fn store(store: PostgresStore) -> FencedStore {
///     store
///         .fenced_builder()
///         .claim_durability(ClaimDurability::WithTheCommit)
///         .build()
/// }
/// # let _ = store;
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `build` to get the store"]
pub struct FencedStoreBuilder {
    store: PostgresStore,
    claims: ClaimDurability,
}

impl FencedStoreBuilder {
    pub(crate) const fn new(store: PostgresStore) -> Self {
        Self {
            store,
            claims: ClaimDurability::BeforeTheHandler,
        }
    }

    /// Says when claims are durable. Default: [`ClaimDurability::BeforeTheHandler`].
    pub const fn claim_durability(mut self, claims: ClaimDurability) -> Self {
        self.claims = claims;
        self
    }

    /// Makes the store. Nothing is sent to the server.
    #[must_use]
    pub fn build(self) -> FencedStore {
        FencedStore::with(match self.claims {
            ClaimDurability::BeforeTheHandler => self.store,
            ClaimDurability::WithTheCommit => self.store.sharing(Shared::with_relaxed_claims),
        })
    }
}

impl PostgresStore {
    /// Keeps successes in the handlers' own transactions alone, with the default settings.
    #[must_use]
    pub fn fenced(self) -> FencedStore {
        self.fenced_builder().build()
    }

    /// Starts to set up the fenced mode.
    pub const fn fenced_builder(self) -> FencedStoreBuilder {
        FencedStoreBuilder::new(self)
    }

    /// Returns the store with something else in the place of what its executions share.
    fn sharing(self, change: impl FnOnce(&Shared) -> Shared) -> Self {
        let shared = Arc::new(change(&self.shared()));
        self.with_shared(shared)
    }
}

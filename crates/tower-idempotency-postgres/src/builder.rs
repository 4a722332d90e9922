use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tower_idempotency_batch::Limits;
use tower_idempotency_core::ConfigError;

use crate::{
    Pooling, PostgresStore,
    batch::Batches,
    connections::Connections,
    sabotage::Guard,
    schema::Schema,
    shared::Shared,
    sql::{self, Sql},
};

/// The bound of a verb, unless the user chooses another.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets up a [`PostgresStore`].
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use sqlx::PgPool;
/// use tower_idempotency_postgres::PostgresStore;
///
/// fn store(pool: PgPool) -> Result<PostgresStore, tower_idempotency_core::ConfigError> {
///     PostgresStore::builder(pool)
///         .schema("billing")
///         .operation_timeout(Duration::from_secs(2))
///         .build()
/// }
/// # let _ = store;
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `build` to get the store"]
pub struct PostgresStoreBuilder {
    pool: PgPool,
    schema: Option<String>,
    operation_timeout: Duration,
    pooling: Pooling,
    limits: Limits,
    pass_on: bool,
    left_out: Option<Guard>,
}

impl PostgresStoreBuilder {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self {
            pool,
            schema: None,
            operation_timeout: OPERATION_TIMEOUT,
            pooling: Pooling::Session,
            limits: Limits::default(),
            pass_on: false,
            left_out: None,
        }
    }

    /// Looks for the table in this schema. Default: the connection's search path.
    ///
    /// The schema itself must be there; `migrate` does not create it.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Bounds every verb, the wait for a connection included. Default: 5 s.
    ///
    /// A request whose claim takes longer is answered 503.
    /// Choose less than the time-outs in front of the service, and less than a third of the lease:
    /// a renewal that hangs longer costs the lease.
    pub const fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// Says what lies between the store and the server. Default: [`Pooling::Session`].
    ///
    /// [`PostgresStore::check`] finds out whether the choice is right.
    pub const fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// Chooses how many connections batches run on. Default: 2.
    ///
    /// Claims, completions, renewals and releases that are in flight together share a statement and
    /// a commit; nobody waits for company. The connections for that are opened by the pool, with
    /// its options and hooks, and are then the store's own: they come on top of `max_connections`.
    ///
    /// More than a few gain nothing: batches get smaller. With 0, every operation goes by itself,
    /// on a connection of the pool's.
    pub const fn batch_connections(mut self, connections: usize) -> Self {
        self.limits.lanes = connections;
        self
    }

    /// Bounds how many claims wait for a batch. Default: 16,384.
    ///
    /// One more is refused at once, as by a store that is full: the request is answered 503.
    /// Completions, renewals and releases wait besides; there are no more of them than executions.
    ///
    /// A claim takes about a kilobyte. Choose what the server can do within
    /// [`operation_timeout`](Self::operation_timeout): those behind it would time out anyway,
    /// and keep others waiting.
    pub const fn max_queued_claims(mut self, claims: usize) -> Self {
        self.limits.queued = claims;
        self
    }

    /// Says whether a connection may go from one operation straight to the next that waits for one,
    /// several times in a row, and only then back to the pool. Default: no; the pools that
    /// [`PostgresStore::connect`] makes do so.
    ///
    /// It spares a round trip each time: the driver's pool asks a connection that comes back
    /// whether it is still there. It matters for the statements of an [`Effect`](crate::Effect) and
    /// for transactional requests, where more of them run than the pool has connections. Nobody
    /// else who waits for the pool is passed over for long.
    ///
    /// The pool's hooks (`before_acquire`, `after_release`) are left out between two of them. Choose
    /// it for a pool without such hooks, or where they need not run each time; not where they say
    /// for whom a connection works, as for row-level security.
    pub const fn pass_connections_on(mut self, pass_on: bool) -> Self {
        self.pass_on = pass_on;
        self
    }

    /// Leaves a guard out, so that a test can show that it is noticed.
    #[cfg(feature = "__sabotage")]
    #[doc(hidden)]
    pub const fn danger_leave_out(mut self, guard: Guard) -> Self {
        self.left_out = Some(guard);
        self
    }

    /// Makes the store. Nothing is sent to the server.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the schema's name is no plain identifier, or the bound is less than
    /// 10 ms or more than a minute.
    pub fn build(self) -> Result<PostgresStore, ConfigError> {
        let schema = match &self.schema {
            Some(name) => Schema::parse(name)?,
            None => Schema::default(),
        };
        let bounds = Duration::from_millis(10)..=Duration::from_secs(60);
        if !bounds.contains(&self.operation_timeout) {
            let value = format!("{:?}", self.operation_timeout);
            let must = "must be between 10ms and 60s";
            return Err(ConfigError::new("operation_timeout", value, must));
        }
        Ok(self.make_in(&schema))
    }

    pub(crate) fn make(self) -> PostgresStore {
        self.make_in(&Schema::default())
    }

    fn make_in(self, schema: &Schema) -> PostgresStore {
        let sql = Arc::new(Sql::new(schema, self.left_out));
        let batches = (self.limits.lanes > 0).then(|| {
            let sql = Arc::clone(&sql);
            let pool = self.pool.clone();
            Batches::new(pool, sql, self.pooling, self.operation_timeout, self.limits)
        });
        let shared = Shared {
            connections: Connections::new(self.pool, self.pass_on),
            sql,
            batches,
            operation_timeout: self.operation_timeout,
            pooling: self.pooling,
            left_out: self.left_out,
        };
        PostgresStore::with(shared, sql::migrations(schema))
    }
}

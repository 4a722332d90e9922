//! The connections of lanes.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, PgPool};

use crate::pooling::Pooling;

/// How long the server gets to hear that a connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection that was opened by the user's pool and belongs to the lanes from then on.
#[derive(Debug)]
pub(crate) struct LaneConnection {
    connection: PgConnection,
    opened: Instant,
    used: Instant,
}

/// What every batch runs under. Only look-ups in an index are left to the planner: it would take
/// a join with an array of unknown length for a reason to read the whole table.
/// A generic plan spares planning. Every statement is written for `READ COMMITTED`.
fn settings(word: &str, operation_timeout: Duration) -> String {
    let bound = operation_timeout.as_millis();
    let (lock, statement) = (bound * 2 / 5, bound * 4 / 5);
    [
        "enable_seqscan = off",
        "enable_bitmapscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        "jit = off",
        "plan_cache_mode = force_generic_plan",
        &format!("lock_timeout = {lock}"),
        &format!("statement_timeout = {statement}"),
    ]
    .map(|setting| format!("{word} {setting}; "))
    .concat()
}

/// Keeps the planner from a cache of rows that were looked up: no row is looked up twice. Servers
/// before 14 have none. It costs only a little, so that transactions go without this.
const NO_CACHE: &str = "SELECT set_config('enable_memoize', 'off', false)
    WHERE current_setting('enable_memoize', true) IS NOT NULL";

/// Returns what is run once on a connection that nobody else gets.
fn for_session(operation_timeout: Duration) -> String {
    let settings = settings("SET", operation_timeout);
    format!("{settings} SET default_transaction_isolation = 'read committed'; {NO_CACHE}")
}

/// Returns what begins a transaction where a pooler may give each another connection.
pub(crate) fn for_transaction(operation_timeout: Duration) -> String {
    let settings = settings("SET LOCAL", operation_timeout);
    format!("BEGIN ISOLATION LEVEL READ COMMITTED; {settings}")
}

impl LaneConnection {
    /// Opens one, as the pool does: with its options, its hooks, and its bound on how many are
    /// opened at once.
    pub(crate) async fn open(
        pool: &PgPool,
        pooling: Pooling,
        operation_timeout: Duration,
    ) -> sqlx::Result<Self> {
        let mut connection = pool.acquire().await?.detach();
        if pooling == Pooling::Session {
            let settings = AssertSqlSafe(for_session(operation_timeout));
            connection.execute(sqlx::raw_sql(settings)).await?;
        }
        let now = Instant::now();
        Ok(Self {
            connection,
            opened: now,
            used: now,
        })
    }

    /// Tells whether the pool would use such a connection again.
    pub(crate) fn is_good(&self, pool: &PgPool) -> bool {
        let options = pool.options();
        let within = |since: Instant, bound: Option<Duration>| {
            bound.is_none_or(|bound| since.elapsed() < bound)
        };
        !pool.is_closed()
            && within(self.opened, options.get_max_lifetime())
            && within(self.used, options.get_idle_timeout())
    }

    /// Says goodbye to the server.
    pub(crate) async fn close(self) {
        // A server that does not listen notices the closed socket.
        drop(tokio::time::timeout(GOODBYE, self.connection.close()).await);
    }

    pub(crate) fn inner(&mut self) -> &mut PgConnection {
        self.used = Instant::now();
        &mut self.connection
    }
}

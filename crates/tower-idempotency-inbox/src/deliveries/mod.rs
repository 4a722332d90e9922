//! The table of deliveries.

use std::{fmt, future::Future, time::Duration};

use tokio::time::timeout;

use crate::{DeliveryId, InboxError, InboxErrorKind};

/// The bound of every operation but migrations.
const BOUND: Duration = Duration::from_secs(5);

/// Where deliveries are kept: a table in Postgres or SQLite.
///
/// It may be in the same database as the keys, or in another one. Cloning is cheap.
/// Every operation but [`migrate`](Self::migrate) ends within five seconds.
#[derive(Clone)]
pub struct Deliveries {
    pool: Pool,
}

#[derive(Clone)]
enum Pool {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
    #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
    Neither(std::convert::Infallible),
}

/// Runs the same code on either database, with its statements.
macro_rules! on_pool {
    ($deliveries:expr, |$pool:ident, $sql:ident| $body:expr) => {
        match &$deliveries.pool {
            #[cfg(feature = "postgres")]
            Pool::Postgres($pool) => {
                use crate::sql::postgres as $sql;
                $body
            }
            #[cfg(feature = "sqlite")]
            Pool::Sqlite($pool) => {
                use crate::sql::sqlite as $sql;
                $body
            }
            #[cfg(not(any(feature = "postgres", feature = "sqlite")))]
            Pool::Neither(never) => match *never {},
        }
    };
}

// Behind the macro that they use.
mod attempts;
mod operating;

pub(crate) use self::attempts::{Failed, Taken};

/// An arrival that is to be kept.
pub(crate) struct Arrival<'a> {
    pub(crate) id: DeliveryId,
    pub(crate) trigger: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) attempts_allowed: u32,
    pub(crate) patience: Duration,
}

/// What an arrival turned out to be.
pub(crate) enum Kept {
    New,
    Duplicate,
}

impl Deliveries {
    /// Keeps deliveries in Postgres, in the first schema of the search path.
    ///
    /// Connections of the pool must not go through a pooler in transaction mode.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub const fn postgres(pool: sqlx::PgPool) -> Self {
        Self {
            pool: Pool::Postgres(pool),
        }
    }

    /// Keeps deliveries in a SQLite file, opened in WAL mode and with a busy time-out.
    ///
    /// The pool of the store's one writer serves well: `store.writer().clone()`.
    /// While a handler holds a transaction on the same file, arrivals have to wait for it.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub const fn sqlite(pool: sqlx::SqlitePool) -> Self {
        Self {
            pool: Pool::Sqlite(pool),
        }
    }

    /// Creates the table and its indexes, unless they are there; safe to run at every start, and
    /// by several processes at once.
    ///
    /// There is no bound of the inbox's own: on a large table an index takes its time.
    ///
    /// # Errors
    ///
    /// [`InboxError`] if anything could not be made, in which case nothing was made, or if the
    /// index on a trigger's keys is there and is another one
    /// ([`Schema`](InboxErrorKind::Schema)): duplicates would not be recognised.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves everything or nothing.
    pub async fn migrate(&self) -> Result<(), InboxError> {
        let is_right: bool = on_pool!(self, |pool, sql| {
            let mut transaction = pool.begin_with(sql::BEGIN).await?;
            for statement in [sql::LOCK_MIGRATIONS, sql::QUIET, sql::MIGRATIONS] {
                sqlx::raw_sql(statement).execute(&mut *transaction).await?;
            }
            let found = sqlx::query_scalar(sql::CHECK_INDEX)
                .fetch_one(&mut *transaction)
                .await?;
            if found {
                transaction.commit().await?;
            }
            found
        });
        if is_right {
            Ok(())
        } else {
            Err(InboxErrorKind::Schema.into())
        }
    }

    /// Returns the SQL that [`migrate`](Self::migrate) runs, for your own migration tool.
    #[must_use]
    pub const fn migrations_sql(&self) -> &'static str {
        on_pool!(self, |_pool, sql| sql::MIGRATIONS)
    }

    /// Keeps an arrival, unless its trigger has seen its key.
    ///
    /// Only the index on a trigger's keys makes a duplicate: any other violation is an error.
    pub(crate) async fn keep(&self, arrival: &Arrival<'_>) -> Result<Kept, InboxError> {
        // Whoever loses the race against another arrival finds it in the next round, unless it has
        // been swept in between.
        for _ in 0..3 {
            if let Some(key) = arrival.key
                && self.find(arrival.trigger, key).await?
            {
                return Ok(Kept::Duplicate);
            }
            if self.insert(arrival).await? {
                return Ok(Kept::New);
            }
        }
        Err(InboxErrorKind::Internal.into())
    }

    async fn find(&self, trigger: &str, key: &str) -> Result<bool, InboxError> {
        bounded(async {
            let found: Option<String> = on_pool!(self, |pool, sql| {
                let find = sqlx::query_scalar(sql::FIND).bind(trigger).bind(key);
                find.fetch_optional(pool).await?
            });
            Ok(found.is_some())
        })
        .await
    }

    async fn insert(&self, arrival: &Arrival<'_>) -> Result<bool, InboxError> {
        bounded(async {
            let inserted: Option<String> = on_pool!(self, |pool, sql| {
                sqlx::query_scalar(sql::KEEP)
                    .bind(arrival.id.to_string())
                    .bind(arrival.trigger)
                    .bind(arrival.key)
                    .bind(arrival.method)
                    .bind(arrival.target)
                    .bind(arrival.head)
                    .bind(arrival.body)
                    .bind(count(arrival.attempts_allowed))
                    .bind(ms(arrival.patience))
                    .fetch_optional(pool)
                    .await?
            });
            Ok(inserted.is_some())
        })
        .await
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

async fn bounded<T>(
    operation: impl Future<Output = Result<T, InboxError>>,
) -> Result<T, InboxError> {
    timeout(BOUND, operation)
        .await
        .unwrap_or_else(|_| Err(InboxErrorKind::Timeout.into()))
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

//! The table of deliveries.

use std::{fmt, future::Future, time::Duration};

use bytes::Bytes;
use http::Request;
use tokio::time::timeout;

use crate::{
    Delivery, DeliveryId, DeliveryPage, DeliveryState, InboxError, InboxErrorKind, Redelivery,
    kept_request,
    rows::{self, DayRow, DeliveryRow, TakenRow},
};

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

/// A delivery that was taken for its next attempt.
pub(crate) struct Taken {
    pub(crate) id: DeliveryId,
    pub(crate) trigger: String,
    pub(crate) attempt: u32,
    pub(crate) request: Request<Bytes>,
}

/// How an attempt failed.
pub(crate) struct Failed<'a> {
    pub(crate) category: &'static str,
    pub(crate) error: &'a str,
    pub(crate) next_in: Duration,
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

    /// Takes deliveries that are due, and buries those that have had all their attempts.
    ///
    /// Also tells how many could not be read, which are taken all the same, and buried in the end.
    pub(crate) async fn take(
        &self,
        limit: u32,
        patience: Duration,
    ) -> Result<(Vec<Taken>, usize), InboxError> {
        let rows: Vec<TakenRow> = bounded(async {
            Ok(on_pool!(self, |pool, sql| {
                let bury = sqlx::query(sql::BURY).bind(i64::from(limit));
                bury.execute(pool).await?;
                let take = sqlx::query_as(sql::TAKE)
                    .bind(i64::from(limit))
                    .bind(ms(patience));
                take.fetch_all(pool).await?
            }))
        })
        .await?;
        let all = rows.len();
        let taken: Vec<Taken> = rows.into_iter().flat_map(taken).collect();
        let unreadable = all - taken.len();
        Ok((taken, unreadable))
    }

    /// Notes that a delivery has succeeded.
    pub(crate) async fn succeed(&self, id: DeliveryId) -> Result<(), InboxError> {
        bounded(async {
            on_pool!(self, |pool, sql| {
                let succeed = sqlx::query(sql::SUCCEED).bind(id.to_string());
                succeed.execute(pool).await?;
            });
            Ok(())
        })
        .await
    }

    /// Notes that an attempt failed, and returns what the delivery is now.
    ///
    /// `None` if a later attempt has begun meanwhile: then that one decides.
    pub(crate) async fn fail(
        &self,
        id: DeliveryId,
        attempt: u32,
        failed: &Failed<'_>,
    ) -> Result<Option<DeliveryState>, InboxError> {
        bounded(async {
            let state: Option<String> = on_pool!(self, |pool, sql| {
                sqlx::query_scalar(sql::FAIL)
                    .bind(id.to_string())
                    .bind(count(attempt))
                    .bind(failed.category)
                    .bind(failed.error)
                    .bind(ms(failed.next_in))
                    .fetch_optional(pool)
                    .await?
            });
            Ok(state.as_deref().and_then(DeliveryState::from_word))
        })
        .await
    }

    /// Gives an attempt back that did not take place.
    pub(crate) async fn postpone(
        &self,
        id: DeliveryId,
        attempt: u32,
        next_in: Duration,
    ) -> Result<(), InboxError> {
        bounded(async {
            on_pool!(self, |pool, sql| {
                let postpone = sqlx::query(sql::POSTPONE)
                    .bind(id.to_string())
                    .bind(count(attempt))
                    .bind(ms(next_in));
                postpone.execute(pool).await?;
            });
            Ok(())
        })
        .await
    }

    /// Asks for another attempt, unless too many were asked for.
    pub(crate) async fn replay(
        &self,
        id: DeliveryId,
        pause: Duration,
        per_minute: u32,
    ) -> Result<Redelivery, InboxError> {
        const MINUTE: Duration = Duration::from_secs(60);
        bounded(async {
            Ok(on_pool!(self, |pool, sql| {
                let mut transaction = pool.begin_with(sql::BEGIN).await?;
                // Judged one at a time, or two could both be the last that is allowed.
                sqlx::raw_sql(sql::LOCK_REPLAYS)
                    .execute(&mut *transaction)
                    .await?;
                let standing: Option<(String, Option<i64>)> = sqlx::query_as(sql::STANDING)
                    .bind(id.to_string())
                    .fetch_optional(&mut *transaction)
                    .await?;
                let recent: (i64, Option<i64>) = sqlx::query_as(sql::RECENT_REPLAYS)
                    .bind(ms(MINUTE))
                    .fetch_one(&mut *transaction)
                    .await?;
                let judged = judge_replay(standing, recent, pause, (per_minute, MINUTE));
                if judged == Redelivery::Queued {
                    let replay = sqlx::query(sql::REPLAY).bind(id.to_string());
                    replay.execute(&mut *transaction).await?;
                }
                transaction.commit().await?;
                judged
            }))
        })
        .await
    }

    pub(crate) async fn sweep(&self, older: Duration, limit: u32) -> Result<u64, InboxError> {
        bounded(async {
            Ok(on_pool!(self, |pool, sql| {
                let sweep = sqlx::query(sql::SWEEP)
                    .bind(ms(older))
                    .bind(i64::from(limit));
                sweep.execute(pool).await?.rows_affected()
            }))
        })
        .await
    }

    pub(crate) async fn show(&self, id: DeliveryId) -> Result<Option<Delivery>, InboxError> {
        let row: Option<DeliveryRow> = bounded(async {
            Ok(on_pool!(self, |pool, sql| {
                let show = sqlx::query_as(sql::SHOW).bind(id.to_string());
                show.fetch_optional(pool).await?
            }))
        })
        .await?;
        row.as_ref().map(rows::delivery).transpose()
    }

    pub(crate) async fn list(&self, page: &DeliveryPage) -> Result<Vec<Delivery>, InboxError> {
        let after = page.after.map(|id| id.to_string());
        let limit = i64::from(page.limit.min(1_000));
        let rows: Vec<DeliveryRow> = bounded(async {
            Ok(on_pool!(self, |pool, sql| {
                if page.state == Some(DeliveryState::Dead) {
                    let list = sqlx::query_as(sql::LIST_DEAD).bind(after).bind(limit);
                    list.fetch_all(pool).await?
                } else {
                    let list = sqlx::query_as(sql::LIST)
                        .bind(page.state.map(DeliveryState::as_str))
                        .bind(after)
                        .bind(limit);
                    list.fetch_all(pool).await?
                }
            }))
        })
        .await?;
        rows.iter().map(rows::delivery).collect()
    }

    pub(crate) async fn statistics(&self, days: u32) -> Result<Vec<DayRow>, InboxError> {
        let before = i64::from(days.saturating_sub(1));
        bounded(async {
            Ok(on_pool!(self, |pool, sql| {
                let statistics = sqlx::query_as(sql::STATISTICS).bind(before);
                statistics.fetch_all(pool).await?
            }))
        })
        .await
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").finish_non_exhaustive()
    }
}

/// Judges a replay by the delivery's state, its last replay and those of all deliveries.
fn judge_replay(
    standing: Option<(String, Option<i64>)>,
    (recent, oldest_ms): (i64, Option<i64>),
    pause: Duration,
    (most, window): (u32, Duration),
) -> Redelivery {
    let Some((word, since_ms)) = standing else {
        return Redelivery::Absent;
    };
    match DeliveryState::from_word(&word) {
        Some(DeliveryState::Failed | DeliveryState::Dead) => {}
        Some(state) => return Redelivery::NotFailed(state),
        None => return Redelivery::Absent,
    }
    let age = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    let own = since_ms.map_or(Duration::ZERO, |since| pause.saturating_sub(age(since)));
    let of_all = if recent >= i64::from(most) {
        window.saturating_sub(oldest_ms.map_or(Duration::ZERO, age))
    } else {
        Duration::ZERO
    };
    match own.max(of_all) {
        Duration::ZERO => Redelivery::Queued,
        retry_after => Redelivery::RateLimited { retry_after },
    }
}

fn taken(row: TakenRow) -> Result<Taken, InboxError> {
    let (id, trigger, method, target, head, body, attempts) = row;
    Ok(Taken {
        id: rows::id(&id)?,
        trigger,
        attempt: u32::try_from(attempts).unwrap_or_default(),
        request: kept_request::decode(&method, &target, &head, Bytes::from(body))?,
    })
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

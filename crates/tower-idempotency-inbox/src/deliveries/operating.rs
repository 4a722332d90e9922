//! What operators see and ask for, and what is forgotten.

use std::time::Duration;

use super::{Deliveries, Pool, bounded, ms};
use crate::{
    Delivery, DeliveryId, DeliveryPage, DeliveryState, InboxError, Redelivery,
    rows::{self, DayRow, DeliveryRow},
};

impl Deliveries {
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

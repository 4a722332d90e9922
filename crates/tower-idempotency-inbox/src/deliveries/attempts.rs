//! Taking deliveries for their attempts, and noting how those ended.

use std::time::Duration;

use bytes::Bytes;
use http::Request;

use super::{Deliveries, Pool, bounded, count, ms};
use crate::{
    DeliveryId, DeliveryState, InboxError, kept_request,
    rows::{self, TakenRow},
};

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

    /// Keeps others from looking after an attempt that still runs.
    pub(crate) async fn hold(
        &self,
        id: DeliveryId,
        attempt: u32,
        patience: Duration,
    ) -> Result<(), InboxError> {
        bounded(async {
            on_pool!(self, |pool, sql| {
                let hold = sqlx::query(sql::HOLD)
                    .bind(id.to_string())
                    .bind(count(attempt))
                    .bind(ms(patience));
                hold.execute(pool).await?;
            });
            Ok(())
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

//! What the rows of the statements mean.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tower_idempotency::IdempotencyKey;

use crate::{DayStatistics, Delivery, DeliveryId, DeliveryState, InboxError, InboxErrorKind};

/// Identity, trigger, method, target, head, body, attempts.
pub(crate) type TakenRow = (String, String, String, String, Vec<u8>, Vec<u8>, i32);

/// The columns of `rows_where!`, in their order.
pub(crate) type DeliveryRow = (
    String,
    String,
    Option<String>,
    String,
    String,
    i64,
    String,
    i32,
    i32,
    Option<i64>,
    Option<String>,
    Option<String>,
    i64,
    Option<i64>,
    Option<i64>,
);

/// The columns of the statistics, in their order.
pub(crate) type DayRow = (String, i64, i64, i64, i64, i64, i64, i64);

pub(crate) fn delivery(row: &DeliveryRow) -> Result<Delivery, InboxError> {
    let (id_text, trigger, key, method, target, body_bytes, state, ..) = row;
    let (.., attempts, allowed, next, category, error, received, ended, replayed) = row;
    let path = target.split('?').next().unwrap_or_default();
    Ok(Delivery {
        id: id(id_text)?,
        trigger: trigger.clone(),
        key: key
            .as_deref()
            .map(IdempotencyKey::new)
            .transpose()
            .map_err(|error| InboxError::new(InboxErrorKind::Unreadable, error))?,
        method: method.clone(),
        path: path.to_owned(),
        body_bytes: number(*body_bytes),
        state: DeliveryState::from_word(state)
            .ok_or_else(|| InboxError::from(InboxErrorKind::Unreadable))?,
        attempts: u32::try_from(*attempts).unwrap_or_default(),
        attempts_allowed: u32::try_from(*allowed).unwrap_or_default(),
        next_attempt_at: next.map(time),
        category: category.clone(),
        last_error: error.clone(),
        received_at: time(*received),
        ended_at: ended.map(time),
        last_replay_at: replayed.map(time),
    })
}

pub(crate) fn day(row: DayRow) -> DayStatistics {
    let (day, received, keyless, succeeded, waiting, dead, retried, replayed) = row;
    DayStatistics {
        day,
        received: number(received),
        keyless: number(keyless),
        succeeded: number(succeeded),
        waiting: number(waiting),
        dead: number(dead),
        retried: number(retried),
        replayed: number(replayed),
    }
}

pub(crate) fn id(text: &str) -> Result<DeliveryId, InboxError> {
    text.parse()
        .map_err(|error: uuid::Error| InboxError::new(InboxErrorKind::Unreadable, error))
}

fn number(of_database: i64) -> u64 {
    u64::try_from(of_database).unwrap_or_default()
}

fn time(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(number(ms))
}

//! What operators are shown.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{DayStatistics, Delivery};

pub(super) fn delivery(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id.to_string(),
        "trigger": delivery.trigger,
        "key": delivery.key.as_ref().map(AsRef::<str>::as_ref),
        "method": delivery.method,
        "path": delivery.path,
        "body_bytes": delivery.body_bytes,
        "state": delivery.state.as_str(),
        "attempts": delivery.attempts,
        "attempts_allowed": delivery.attempts_allowed,
        "next_attempt_at": delivery.next_attempt_at.map(rfc3339),
        "category": delivery.category,
        "last_error": delivery.last_error,
        "received_at": rfc3339(delivery.received_at),
        "ended_at": delivery.ended_at.map(rfc3339),
        "last_replay_at": delivery.last_replay_at.map(rfc3339),
    })
}

pub(super) fn day(day: &DayStatistics) -> Value {
    json!({
        "day": day.day,
        "received": day.received,
        "keyless": day.keyless,
        "succeeded": day.succeeded,
        "waiting": day.waiting,
        "dead": day.dead,
        "retried": day.retried,
        "replayed": day.replayed,
    })
}

/// Writes a time in UTC, to the second: `2026-11-21T11:22:33Z`.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Finds the date so many days after 1970-01-01.
///
/// Years that begin in March have their leap day at the end, which makes months regular.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        let written = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(written(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(written(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}

//! What time does in the store, and what the server does by itself.

use crate::state::{Key, Lease, RecordState};

pub(crate) fn has_live_lease(key: &Key) -> bool {
    key.record
        .is_some_and(|record| record.state == RecordState::InProgress(Lease::Live))
}

/// The store's clock passes the end of the present lease.
pub(crate) fn end_lease(key: &mut Key) {
    if let Some(record) = &mut key.record {
        record.state = RecordState::InProgress(Lease::Dead);
    }
    key.history.live.clear();
}

/// A lease ends long before an abandoned record expires.
pub(crate) fn can_expire(key: &Key) -> bool {
    key.record.is_some_and(|record| !record.expired) && !has_live_lease(key)
}

/// The store's clock passes the end of the retention.
pub(crate) fn expire(key: &mut Key) {
    if let Some(record) = &mut key.record {
        record.expired = true;
    }
    key.history.completed_by = None;
}

/// The sweeper skips a row that is held.
pub(crate) fn can_sweep(key: &Key) -> bool {
    key.record.is_some_and(|record| record.expired) && key.lock.is_none()
}

/// The sweeper deletes an expired record.
pub(crate) fn sweep(key: &mut Key) {
    key.record = None;
    key.history.forget();
}

pub(crate) fn can_abort(key: &Key) -> bool {
    key.lock.is_some()
}

/// The server rolls back the transaction that holds the key: its owner is gone or idle too long.
pub(crate) fn abort(key: &mut Key) {
    key.lock = None;
}

//! What happens in a handler's transaction.

use super::{Answer, fence};
use crate::{
    Guard, Mode, Protocol,
    history::Wrong,
    state::{Key, Record, RecordState, Request, Token},
};

/// Completes the key in the handler's transaction: locks the row and compares the token.
///
/// Nobody else sees the completed record before the commit, so only the lock is noted.
pub(super) fn complete_in(protocol: &Protocol, key: &mut Key, token: Token) -> Answer {
    let is_ours = key.record.is_some_and(|record| {
        record.is_in_progress()
            && !record.expired
            && fence(protocol, Guard::CheckInTransaction, record.token, token)
    });
    if !is_ours && protocol.has(Guard::CheckInTransaction) {
        return Answer::Stale;
    }
    if key.record.is_none_or(|record| record.token != token) {
        key.history.wrong.note(Wrong::StaleAccepted);
    }
    key.lock = Some(token);
    Answer::Applied
}

/// Tries to lock the key for the transaction; never waits.
pub(super) fn lock(key: &mut Key, token: Token) -> Answer {
    if key.lock.is_some() {
        return Answer::InProgress;
    }
    key.lock = Some(token);
    Answer::Locked
}

/// Looks for a record in the transactional mode, where only completed ones are ever committed.
///
/// A transaction that is not to run the handler ends at once.
pub(super) fn look_up(key: &mut Key, request: Request) -> Answer {
    let answer = match key.record.filter(|record| !record.expired) {
        Some(record) if record.fingerprint != request.fingerprint => Answer::Mismatch,
        Some(Record {
            state: RecordState::Completed(response),
            ..
        }) => Answer::Replay(response),
        _ => return Answer::Absent,
    };
    if key.lock == Some(request.token) {
        key.lock = None;
    }
    answer
}

/// Effect and record become visible together, if the transaction is still there.
pub(super) fn commit(protocol: &Protocol, key: &mut Key, request: Request) -> Answer {
    if key.lock != Some(request.token) {
        return Answer::Gone;
    }
    key.lock = None;
    if protocol.mode == Mode::Transactional {
        begin_record(key, request);
    }
    key.history.effect();
    key.history.complete(request.token);
    if let Some(record) = &mut key.record {
        record.state = RecordState::Completed(request.token);
    }
    Answer::Committed
}

/// The transactional mode's insert, over a record that has expired, if there is one.
///
/// It trusts the lock and the look-up under it: `ON CONFLICT (id) DO UPDATE`.
fn begin_record(key: &mut Key, request: Request) {
    if key.record.is_some_and(|record| record.expired) {
        key.history.forget();
    }
    if key.history.completed_by.is_some() {
        key.history.wrong.note(Wrong::FreedAfterCompletion);
    }
    key.record = Some(Record {
        token: request.token,
        fingerprint: request.fingerprint,
        state: RecordState::Completed(request.token),
        expired: false,
    });
}

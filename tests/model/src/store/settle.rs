//! Renewing, completing and releasing, each compare-and-set on the token.

use super::{Answer, fence};
use crate::{
    Guard, Protocol,
    history::Wrong,
    state::{Key, Lease, Record, RecordState, Release, Token},
};

/// Lets the lease last again; skips a row that is held, and then looks whose it is.
pub(super) fn renew(protocol: &Protocol, key: &mut Key, token: Token) -> Answer {
    let Some(mut record) = held_in_progress(protocol, Guard::FenceOnRenew, key, token) else {
        return Answer::Stale;
    };
    if key.lock.is_some() {
        // Whoever holds the row is the execution itself, and it cannot be lost at present.
        if record.token != token {
            key.history.wrong.note(Wrong::StaleAccepted);
        }
        return Answer::Applied;
    }
    record.state = RecordState::InProgress(Lease::Live);
    change(key, token, Some(record));
    key.history.live.insert(token);
    Answer::Applied
}

/// Keeps the response. If nothing changed, an earlier try may have done it.
pub(super) fn complete(protocol: &Protocol, key: &mut Key, token: Token) -> Answer {
    if let Some(mut record) = held_in_progress(protocol, Guard::FenceOnComplete, key, token) {
        record.state = RecordState::Completed(token);
        change(key, token, Some(record));
        key.history.complete(token);
        return Answer::Applied;
    }
    let is_done = |record: &Record| record.is_completed();
    applied_before(key, token, is_done)
}

/// Gives the key up. If nothing changed, an earlier try may have done it.
pub(super) fn release(
    protocol: &Protocol,
    key: &mut Key,
    token: Token,
    release: Release,
) -> Answer {
    let released = held_in_progress(protocol, Guard::FenceOnRelease, key, token)
        .or_else(|| held_in_any_state(protocol, key, token));
    if let Some(mut record) = released {
        record.state = RecordState::Failed;
        let left = match release {
            Release::Failed => Some(record),
            Release::Free => None,
        };
        change(key, token, left);
        key.history.live.remove(token);
        return Answer::Applied;
    }
    match release {
        Release::Failed => applied_before(key, token, |record| record.state == RecordState::Failed),
        // A key that is free is as asked, whoever freed it.
        Release::Free if key.record.is_none_or(|record| record.expired) => Answer::Applied,
        Release::Free => Answer::Stale,
    }
}

/// The predicate that the three statements share.
fn held_in_progress(protocol: &Protocol, guard: Guard, key: &Key, token: Token) -> Option<Record> {
    key.record.filter(|record| {
        record.is_in_progress() && !record.expired && fence(protocol, guard, record.token, token)
    })
}

/// The predicate of a release that forgot to ask for the state.
fn held_in_any_state(protocol: &Protocol, key: &Key, token: Token) -> Option<Record> {
    key.record.filter(|record| {
        !protocol.has(Guard::ReleaseOfInProgressOnly) && !record.expired && record.token == token
    })
}

fn change(key: &mut Key, token: Token, record: Option<Record>) {
    if key.record.is_some_and(|present| present.token != token) {
        key.history.wrong.note(Wrong::StaleChanged);
        key.history.wrong.note(Wrong::StaleAccepted);
    }
    key.record = record;
}

/// Reads where the execution with this token is.
fn applied_before(key: &Key, token: Token, is_done: impl Fn(&Record) -> bool) -> Answer {
    let own = key
        .record
        .filter(|record| record.token == token && !record.expired);
    if own.is_some_and(|record| is_done(&record)) {
        Answer::Applied
    } else {
        Answer::Stale
    }
}

//! Claiming: the statement that reads or inserts, and the one that takes over.

use super::Answer;
use crate::{
    Guard, Protocol,
    history::Wrong,
    state::{Key, Lease, Record, RecordState, Request, Seen, Takeable},
};

/// Reads the record and judges it; only if there is none, makes one.
pub(super) fn claim(protocol: &Protocol, key: &mut Key, request: Request) -> Answer {
    let Some(found) = key.record else {
        key.record = Some(in_progress(request));
        key.history.grant(request.token);
        return Answer::Acquired;
    };
    let may_take_over = |because| {
        Answer::MayTakeOver(Seen {
            token: found.token,
            because,
        })
    };
    if found.expired {
        return may_take_over(Takeable::Expired);
    }
    let is_own = found.is_in_progress() && found.token == request.token;
    if is_own && protocol.has(Guard::RecognitionOfOwnToken) {
        return Answer::Acquired;
    }
    if found.state == RecordState::Failed {
        return may_take_over(Takeable::Failed);
    }
    if found.fingerprint != request.fingerprint {
        return Answer::Mismatch;
    }
    match found.state {
        RecordState::Completed(response) => Answer::Replay(response),
        RecordState::InProgress(Lease::Live) => {
            if is_own {
                key.history.wrong.note(Wrong::WaitedForItself);
            }
            Answer::InProgress
        }
        RecordState::InProgress(Lease::Dead) => may_take_over(Takeable::Dead),
        RecordState::Failed => may_take_over(Takeable::Failed),
    }
}

/// Puts a new execution in the record's place, if it is still the one that was judged, and still
/// free for the reason that was judged.
pub(super) fn take_over(
    protocol: &Protocol,
    key: &mut Key,
    request: Request,
    seen: Seen,
) -> Answer {
    let Some(found) = key.record else {
        return Answer::Missed;
    };
    if key.lock.is_some() {
        return Answer::InProgress;
    }
    if found.token != seen.token && protocol.has(Guard::TokenSeenInTakeover) {
        return Answer::Missed;
    }
    if !is_as_judged(protocol, &found, seen.because) {
        return Answer::Missed;
    }
    let may_be_replaced = found.expired || found.state == RecordState::Failed;
    if !may_be_replaced && found.fingerprint != request.fingerprint {
        key.history.wrong.note(Wrong::TookAnothersPlace);
    }
    if found.expired {
        key.history.forget();
    }
    key.record = Some(in_progress(request));
    key.history.grant(request.token);
    Answer::Acquired
}

fn is_as_judged(protocol: &Protocol, found: &Record, because: Takeable) -> bool {
    match found.takeable() {
        _ if !protocol.has(Guard::TimeOverInTakeover) => true,
        None => false,
        Some(now) => now == because || !protocol.has(Guard::ReasonSeenInTakeover),
    }
}

fn in_progress(request: Request) -> Record {
    Record {
        token: request.token,
        fingerprint: request.fingerprint,
        state: RecordState::InProgress(Lease::Live),
        expired: false,
    }
}

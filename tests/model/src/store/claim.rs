//! Claiming: the statement that reads or inserts, and the one that takes over.

use super::Answer;
use crate::{
    Guard, Protocol,
    history::Wrong,
    state::{Key, Lease, Record, RecordState, Request, Token},
};

/// Reads the record and judges it; only if there is none, makes one.
pub(super) fn claim(protocol: &Protocol, key: &mut Key, request: Request) -> Answer {
    let Some(found) = key.record else {
        key.record = Some(in_progress(request));
        key.history.grant(request.token);
        return Answer::Acquired;
    };
    if found.expired {
        return Answer::MayTakeOver(found.token);
    }
    let is_own = found.is_in_progress() && found.token == request.token;
    if is_own && protocol.has(Guard::RecognitionOfOwnToken) {
        return Answer::Acquired;
    }
    if found.state == RecordState::Failed {
        return Answer::MayTakeOver(found.token);
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
        RecordState::InProgress(Lease::Dead) | RecordState::Failed => {
            Answer::MayTakeOver(found.token)
        }
    }
}

/// Puts a new execution in the record's place, if it is still the one that was judged.
pub(super) fn take_over(
    protocol: &Protocol,
    key: &mut Key,
    request: Request,
    seen: Token,
) -> Answer {
    let Some(found) = key.record else {
        return Answer::Missed;
    };
    if key.lock.is_some() {
        return Answer::InProgress;
    }
    if found.token != seen && protocol.has(Guard::TokenSeenInTakeover) {
        return Answer::Missed;
    }
    if !is_over(&found) && protocol.has(Guard::TimeOverInTakeover) {
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

fn is_over(record: &Record) -> bool {
    record.expired
        || matches!(
            record.state,
            RecordState::Failed | RecordState::InProgress(Lease::Dead)
        )
}

fn in_progress(request: Request) -> Record {
    Record {
        token: request.token,
        fingerprint: request.fingerprint,
        state: RecordState::InProgress(Lease::Live),
        expired: false,
    }
}

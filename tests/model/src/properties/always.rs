//! What must hold in every state.

use stateright::Property;

use super::{
    ANOTHER_REQUEST_IS_REFUSED, COMPLETED_IS_NOT_FREED, EFFECT_AND_RECORD, FIRST_RESPONSE_STAYS,
    NO_CLAIM_WAITS_FOR_ITSELF, NO_KEY_IS_STUCK, ONE_LIVE_LEASE, STALE_CHANGES_NOTHING,
    STALE_IS_TOLD, WAITING_IS_NOT_FREED,
};
use crate::{
    Guard, Mode, Protocol,
    history::Wrong,
    state::{Key, Phase, Record, RecordState, Request, State, Statement, Token, Verb, Worker},
    store::{self, Answer},
};

/// The token of a client that comes when everything else is over: one that no request gets.
const LATECOMER: Token = Token(15);

pub(super) fn of_all_modes() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_LIVE_LEASE, |_, state| {
            every_key(state, |key| key.history.live.len() <= 1)
        }),
        Property::always(FIRST_RESPONSE_STAYS, |_, state| {
            every_key(state, replays_the_first_response)
        }),
        Property::always(STALE_CHANGES_NOTHING, |_, state| {
            never(state, Wrong::StaleChanged)
        }),
        Property::always(STALE_IS_TOLD, |_, state| never(state, Wrong::StaleAccepted)),
        Property::always(NO_KEY_IS_STUCK, |protocol: &Protocol, state: &State| {
            (0..state.keys.len()).all(|key| can_be_claimed_later(protocol, state, key))
        }),
        Property::always(NO_CLAIM_WAITS_FOR_ITSELF, |_, state| {
            never(state, Wrong::WaitedForItself)
        }),
        Property::always(COMPLETED_IS_NOT_FREED, |_, state| {
            never(state, Wrong::FreedAfterCompletion)
        }),
        Property::always(WAITING_IS_NOT_FREED, |_, state: &State| {
            state
                .workers
                .iter()
                .all(|worker| keeps_its_key(state, worker))
        }),
        Property::always(ANOTHER_REQUEST_IS_REFUSED, |_, state| {
            never(state, Wrong::TookAnothersPlace)
        }),
    ]
}

pub(super) fn effect_and_record() -> Property<Protocol> {
    Property::always(EFFECT_AND_RECORD, |_, state| {
        every_key(state, |key| {
            let completed = key.record.is_some_and(|record| record.is_completed());
            key.history.effects == u8::from(completed)
        })
    })
}

fn every_key(state: &State, holds: impl Fn(&Key) -> bool) -> bool {
    state.keys.iter().all(holds)
}

fn never(state: &State, wrong: Wrong) -> bool {
    every_key(state, |key| !key.history.wrong.has(wrong))
}

fn replays_the_first_response(key: &Key) -> bool {
    match key.record {
        Some(Record {
            state: RecordState::Completed(response),
            expired: false,
            ..
        }) => key.history.completed_by == Some(response),
        _ => true,
    }
}

/// The handler has run, and nobody has yet said that its response is kept.
fn keeps_its_key(state: &State, worker: &Worker) -> bool {
    let Worker::Busy {
        phase: Phase::Completing,
        request,
    } = *worker
    else {
        return true;
    };
    let key = &state.keys[usize::from(request.key)];
    !key.history.live.has(request.token)
        || key.record.is_some_and(|record| {
            record.is_in_progress() && record.token == request.token && !record.expired
        })
}

/// Lets every lease and every transaction end as time alone ends them, and retries the request.
fn can_be_claimed_later(protocol: &Protocol, state: &State, place: usize) -> bool {
    let mut key = state.keys[place];
    if protocol.server_can_abort(state, place) {
        store::abort(&mut key);
    }
    if store::has_live_lease(&key) && protocol.has(Guard::LeaseRunsOut) {
        store::end_lease(&mut key);
    }
    let request = Request {
        key: 0,
        token: LATECOMER,
        fingerprint: key.record.map_or(0, |record| record.fingerprint),
    };
    let mut send = |verb| store::execute(protocol, &mut key, &Statement { request, verb });
    let answer = match protocol.mode {
        Mode::Transactional if send(Verb::Lock) == Answer::Locked => send(Verb::LookUp),
        Mode::Transactional => Answer::InProgress,
        Mode::Leased | Mode::Fenced => match send(Verb::Claim) {
            Answer::MayTakeOver(seen) => send(Verb::TakeOver(seen)),
            answer => answer,
        },
    };
    matches!(
        answer,
        Answer::Acquired | Answer::Absent | Answer::Replay(_)
    )
}

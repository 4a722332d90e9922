//! What must be seen in some state, lest the model be too small to mean anything.
//!
//! Most of these are about a step. Every step that is possible is taken,
//! so it is enough to ask what a statement *would* be answered.

use stateright::Property;

use crate::{
    Protocol,
    state::{Key, Lease, RecordState, Release, State, Statement, Verb, Worker},
    store::{self, Answer},
};

pub(super) fn leased() -> Vec<Property<Protocol>> {
    let mut properties = with_leases();
    properties.extend([
        Property::sometimes(
            "an effect happens twice after a lease ran out",
            |_, state: &State| state.keys.iter().any(|key| key.history.effects == 2),
        ),
        Property::sometimes("a stale completion is refused", |protocol, state| {
            some_answer(protocol, state, |key, statement, answer| {
                statement.verb == Verb::Complete && answer == Answer::Stale && key.record.is_some()
            })
        }),
        Property::sometimes(
            "a completion finds itself done before",
            |protocol, state| {
                some_answer(protocol, state, |key, statement, answer| {
                    statement.verb == Verb::Complete
                        && answer == Answer::Applied
                        && key.record.is_some_and(|record| record.is_completed())
                })
            },
        ),
    ]);
    properties
}

pub(super) fn fenced() -> Vec<Property<Protocol>> {
    let mut properties = with_leases();
    properties.extend([
        Property::sometimes("a stale worker cannot commit", |protocol, state| {
            some_answer(protocol, state, |_, statement, answer| {
                statement.verb == Verb::CompleteIn && answer == Answer::Stale
            })
        }),
        Property::sometimes("a takeover skips a row that is held", |protocol, state| {
            some_answer(protocol, state, |key, statement, answer| {
                matches!(statement.verb, Verb::TakeOver(_))
                    && answer == Answer::InProgress
                    && key.lock.is_some()
            })
        }),
        Property::sometimes(
            "a release finds the commit it knew nothing of",
            |protocol, state| {
                some_answer(protocol, state, |key, statement, answer| {
                    statement.verb == Verb::Release(Release::Failed)
                        && answer == Answer::Stale
                        && key.record.is_some_and(|record| {
                            record.state == RecordState::Completed(statement.request.token)
                        })
                })
            },
        ),
        Property::sometimes("a commit finds its transaction ended", |protocol, state| {
            some_answer(protocol, state, |_, _, answer| answer == Answer::Gone)
        }),
    ]);
    properties
}

pub(super) fn transactional() -> Vec<Property<Protocol>> {
    vec![
        replay(),
        Property::sometimes("a key is locked by somebody else", |protocol, state| {
            some_answer(protocol, state, |_, statement, answer| {
                statement.verb == Verb::Lock && answer == Answer::InProgress
            })
        }),
        Property::sometimes("an expired record is written over", |protocol, state| {
            some_answer(protocol, state, |key, _, answer| {
                answer == Answer::Committed && key.record.is_some_and(|record| record.expired)
            })
        }),
        Property::sometimes("a commit finds its transaction ended", |protocol, state| {
            some_answer(protocol, state, |_, _, answer| answer == Answer::Gone)
        }),
    ]
}

fn with_leases() -> Vec<Property<Protocol>> {
    vec![
        replay(),
        Property::sometimes("a dead lease is taken over", |protocol, state| {
            some_answer(protocol, state, |key, statement, answer| {
                let is_dead = key.record.is_some_and(|record| {
                    record.state == RecordState::InProgress(Lease::Dead) && !record.expired
                });
                matches!(statement.verb, Verb::TakeOver(_)) && answer == Answer::Acquired && is_dead
            })
        }),
        Property::sometimes("a lost acknowledgement is recognised", |protocol, state| {
            some_answer(protocol, state, |key, statement, answer| {
                statement.verb == Verb::Claim && answer == Answer::Acquired && key.record.is_some()
            })
        }),
        Property::sometimes("a takeover misses what it had judged", |protocol, state| {
            some_answer(protocol, state, |_, _, answer| answer == Answer::Missed)
        }),
        Property::sometimes("a stale renewal is refused", |protocol, state| {
            some_answer(protocol, state, |_, statement, answer| {
                statement.verb == Verb::Renew && answer == Answer::Stale
            })
        }),
        Property::sometimes("a stale release is refused", |protocol, state| {
            some_answer(protocol, state, |key, statement, answer| {
                matches!(statement.verb, Verb::Release(_))
                    && answer == Answer::Stale
                    && key.record.is_some_and(|record| record.is_in_progress())
            })
        }),
        Property::sometimes("a release finds the key free already", |protocol, state| {
            some_answer(protocol, state, |key, statement, answer| {
                statement.verb == Verb::Release(Release::Free)
                    && answer == Answer::Applied
                    && key.record.is_none()
            })
        }),
        Property::sometimes("both keys are at work", |_, state: &State| {
            state.keys.iter().all(store::has_live_lease)
        }),
    ]
}

fn replay() -> Property<Protocol> {
    Property::sometimes("a response is replayed", |protocol, state| {
        some_answer(protocol, state, |_, _, answer| {
            matches!(answer, Answer::Replay(_))
        })
    })
}

/// Tells whether a statement that a worker may send now would be answered in such a way.
fn some_answer(
    protocol: &Protocol,
    state: &State,
    is_it: impl Fn(&Key, Statement, Answer) -> bool,
) -> bool {
    state.workers.iter().any(|worker: &Worker| {
        let mut statements = protocol.statements(state, worker).into_iter();
        statements.any(|statement| {
            let key = state.keys[usize::from(statement.request.key)];
            if store::waits(&key, statement.verb) {
                return false;
            }
            let mut after = key;
            let answer = store::execute(protocol, &mut after, &statement);
            is_it(&key, statement, answer)
        })
    })
}

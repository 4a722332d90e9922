//! The store: every statement as one atomic step.

mod claim;
mod settle;
mod time;
mod transaction;

use crate::{
    Guard, Protocol,
    state::{Key, Seen, Statement, Token, Verb},
};

pub(crate) use time::{
    abort, can_abort, can_expire, can_sweep, end_lease, expire, has_live_lease, sweep,
};

/// What a statement answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// The key is the caller's.
    Acquired,
    /// Somebody else's lease is live, or somebody holds the row.
    InProgress,
    /// The response of this execution is kept.
    Replay(Token),
    Mismatch,
    /// The record may be taken; a second statement has to do it.
    MayTakeOver(Seen),
    /// What was judged is no longer there: claim again.
    Missed,
    /// Renewed, completed or released.
    Applied,
    /// The key is no longer the caller's; nothing has changed.
    Stale,
    Locked,
    /// There is no record that counts.
    Absent,
    Committed,
    /// The server had ended the transaction before.
    Gone,
}

/// Carries out one statement.
pub(crate) fn execute(protocol: &Protocol, key: &mut Key, statement: &Statement) -> Answer {
    let request = statement.request;
    match statement.verb {
        Verb::Claim => claim::claim(protocol, key, request),
        Verb::TakeOver(seen) => claim::take_over(protocol, key, request, seen),
        Verb::Renew => settle::renew(protocol, key, request.token),
        Verb::Complete => settle::complete(protocol, key, request.token),
        Verb::Release(release) => settle::release(protocol, key, request.token, release),
        Verb::CompleteIn => transaction::complete_in(protocol, key, request.token),
        Verb::Lock => transaction::lock(key, request.token),
        Verb::LookUp => transaction::look_up(key, request),
        Verb::Commit => transaction::commit(protocol, key, request),
    }
}

/// Tells whether a statement has to wait for a transaction that holds the row.
///
/// Claims read what is committed; takeovers, renewals and sweeps skip what is held.
pub(crate) fn waits(key: &Key, verb: Verb) -> bool {
    let writes_without_skipping =
        matches!(verb, Verb::Complete | Verb::Release(_) | Verb::CompleteIn);
    writes_without_skipping && key.lock.is_some()
}

/// The predicate `token = $2`, unless the protocol is to do without it.
fn fence(protocol: &Protocol, guard: Guard, present: Token, token: Token) -> bool {
    present == token || !protocol.has(guard)
}

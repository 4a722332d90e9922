//! What there is at one instant.

use crate::{Bounds, history::History};

/// The random token of one request.
///
/// Requests are numbered as they begin, which is as good as random: no two are equal,
/// and nothing asks which is larger.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Token(pub(crate) u8);

/// What a client sent, and the token it got.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Request {
    pub(crate) key: u8,
    pub(crate) token: Token,
    pub(crate) fingerprint: u8,
}

/// Everything: the store, the workers, and what is under way between them.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct State {
    pub(crate) keys: Vec<Key>,
    /// Sorted: workers differ in nothing but what they are at.
    pub(crate) workers: Vec<Worker>,
    /// Statements that nobody waits for any more, and that the store may yet carry out. Sorted.
    pub(crate) late: Vec<Statement>,
    pub(crate) left: Left,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Left {
    pub(crate) requests: u8,
    pub(crate) faults: u8,
    pub(crate) renewals: u8,
    pub(crate) expiries: u8,
}

/// A key in the store.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    /// What is committed.
    pub(crate) record: Option<Record>,
    /// Whose open transaction holds the row (fenced) or the key's lock (transactional).
    pub(crate) lock: Option<Token>,
    pub(crate) history: History,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Record {
    pub(crate) token: Token,
    pub(crate) fingerprint: u8,
    pub(crate) state: RecordState,
    /// Counts as absent, though it is still there.
    pub(crate) expired: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum RecordState {
    InProgress(Lease),
    /// With the response of this execution.
    Completed(Token),
    Failed,
}

/// A lease by the store's clock.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Lease {
    Live,
    Dead,
}

/// A process that serves one request at a time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Worker {
    Idle,
    Busy { phase: Phase, request: Request },
}

/// Where a worker is; what it does next follows from it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// The claim has to be sent (again).
    Claiming,
    /// The claim found a record that may be taken.
    TakingOver(Seen),
    /// The transaction has the lock and has to look the record up.
    LookingUp,
    /// The record was looked up before the lock was there, as it must not be.
    Locking,
    /// The key is the worker's, and the handler runs.
    Running,
    /// The handler's transaction holds the effect and the completed record.
    Committing,
    /// The handler has run, and its response has to be kept.
    Completing,
    /// The handler has run, and the key has to be given up.
    Releasing(Release),
}

/// What a claim judged: the token, and why the record may be taken.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Seen {
    pub(crate) token: Token,
    pub(crate) because: Takeable,
}

/// Why a record may be taken.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Takeable {
    Expired,
    Failed,
    Dead,
}

/// How a key is given up.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Release {
    /// The record stays and can be claimed again.
    Failed,
    /// The record goes.
    Free,
}

/// One atomic step of the store, and for whom.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Statement {
    pub(crate) verb: Verb,
    pub(crate) request: Request,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Verb {
    Claim,
    TakeOver(Seen),
    Renew,
    Complete,
    Release(Release),
    CompleteIn,
    Lock,
    LookUp,
    Commit,
}

impl State {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self {
            keys: vec![Key::default(); bounds.keys.into()],
            workers: vec![Worker::Idle; bounds.workers],
            late: Vec::new(),
            left: Left {
                requests: bounds.requests,
                faults: bounds.faults,
                renewals: bounds.renewals,
                expiries: bounds.expiries,
            },
        }
    }

    /// Makes states equal that differ only in the names of the workers.
    pub(crate) fn sort(&mut self) {
        self.workers.sort_unstable();
        self.late.sort_unstable();
    }
}

impl Record {
    pub(crate) fn is_in_progress(&self) -> bool {
        matches!(self.state, RecordState::InProgress(_))
    }

    /// Says why somebody else may take its place; `None` if nobody may.
    pub(crate) fn takeable(&self) -> Option<Takeable> {
        match self.state {
            _ if self.expired => Some(Takeable::Expired),
            RecordState::Failed => Some(Takeable::Failed),
            RecordState::InProgress(Lease::Dead) => Some(Takeable::Dead),
            RecordState::InProgress(Lease::Live) | RecordState::Completed(_) => None,
        }
    }

    pub(crate) fn is_completed(&self) -> bool {
        matches!(self.state, RecordState::Completed(_))
    }
}

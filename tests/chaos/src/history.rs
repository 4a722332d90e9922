//! Everything that was seen in a run, put together for the judge.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{CallResult, Instructions, Mode, Moment, RunEnd, Verb};

/// One process of a server: a place, and the how-manieth there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "an identity has nothing else")]
pub struct ServerId {
    /// The place.
    pub slot: usize,
    /// Counts the processes of the place.
    pub generation: u32,
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}.{}", self.slot, self.generation)
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Place(slot) => write!(f, "place {slot}"),
            Self::Process(server) => server.fmt(f),
        }
    }
}

/// How long a process lived.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Life {
    /// The process.
    pub server: ServerId,
    /// When it was started.
    pub from: Moment,
    /// When it was certainly gone, if it was killed.
    pub killed: Option<Moment>,
}

/// What the nemesis did.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// To whom.
    pub whom: Whom,
    /// When it began to.
    pub from: Moment,
    /// When it had ended.
    pub to: Moment,
}

/// Whom a fault hits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the judge weighs every case")]
pub enum Whom {
    /// Every server.
    All,
    /// Whichever process is in this place.
    Place(usize),
    /// One process.
    Process(ServerId),
}

impl Whom {
    /// Tells whether `server` is hit.
    #[must_use]
    pub fn is(self, server: ServerId) -> bool {
        match self {
            Self::All => true,
            Self::Place(slot) => slot == server.slot,
            Self::Process(process) => process == server,
        }
    }
}

/// The kinds of faults, by what they excuse.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the judge weighs every case")]
pub enum FaultKind {
    /// A server was killed.
    Kill,
    /// A server was stopped where it was.
    Pause,
    /// A process saw by itself that it did not get to run.
    Stall,
    /// A server was started with another time than the others have.
    ClockShift(&'static str),
    /// The store could not be reached, or not well.
    Store(String),
    /// The database crashed, with what it had not acknowledged, and was started again.
    Crash,
}

/// A call of one of the store's verbs.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Call {
    /// Who called.
    pub server: ServerId,
    /// What.
    pub verb: Verb,
    /// The client's key.
    pub key: String,
    /// Names the execution.
    pub token: String,
    /// Before the call.
    pub begun: Moment,
    /// The answer and a moment behind it, unless the process ended before.
    pub ended: Option<(Moment, CallResult)>,
}

impl Call {
    /// Returns the answer.
    #[must_use]
    pub fn result(&self) -> Option<&CallResult> {
        self.ended.as_ref().map(|(_, result)| result)
    }

    /// Returns the moment behind the answer, if it was this one.
    #[must_use]
    pub fn when(&self, wanted: impl Fn(&CallResult) -> bool) -> Option<Moment> {
        self.ended
            .as_ref()
            .and_then(|(at, result)| wanted(result).then_some(*at))
    }

    /// Returns the moment behind the answer, if the key was acquired.
    #[must_use]
    pub fn acquired(&self) -> Option<Moment> {
        self.when(|result| matches!(result, CallResult::Acquired { .. }))
    }

    /// Tells whether the outcome is unknown.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.result(), None | Some(CallResult::Failed { .. }))
    }
}

/// A run of the handler.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Run {
    /// Where.
    pub server: ServerId,
    /// The client's key.
    pub key: String,
    /// Names the execution to the store.
    pub token: String,
    /// Counts the executions of the key.
    pub attempt: u32,
    /// Names the run to the client.
    pub execution: String,
    /// When it began.
    pub begun: Moment,
    /// When the effect was about to be written.
    pub effect_begun: Option<Moment>,
    /// When it had been written, and whether that was confirmed.
    pub effect_ended: Option<(Moment, bool)>,
    /// When and how it ended.
    pub ended: Option<(Moment, RunEnd)>,
}

/// A request of a client.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Request {
    /// Which client.
    pub client: usize,
    /// The key.
    pub key: String,
    /// To whom.
    pub server: ServerId,
    /// Before it was sent.
    pub begun: Moment,
    /// When the client had the answer, or none.
    pub ended: Moment,
    /// The answer, or why there was none.
    pub answer: Result<Answer, String>,
}

/// What a server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Answer {
    /// What a replay must repeat.
    pub content: Content,
    /// The stable code of a problem.
    pub code: Option<String>,
    /// For how many seconds it asks the client to wait.
    pub retry_after_seconds: Option<u64>,
    /// Whether it says that it was stored.
    pub stored: bool,
    /// Whether it says that it is a replay.
    pub replay: bool,
}

/// What a replay must repeat.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Content {
    /// The status.
    pub status: u16,
    /// The headers that are kept, by name.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Tells whether the operation has come to its end with this answer.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.stored || self.replay
    }

    /// Tells whether the handler made it, rather than the layer.
    #[must_use]
    pub const fn is_handlers(&self) -> bool {
        self.code.is_none()
    }
}

/// A request without a key.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Probe {
    /// To whom.
    pub server: ServerId,
    /// Before it was sent.
    pub begun: Moment,
    /// When the answer was there, or given up.
    pub ended: Moment,
    /// What was wrong.
    pub failure: Option<String>,
}

/// A record at the end.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Kept {
    /// The state's word.
    pub state: String,
    /// Counts the executions.
    pub attempt: u32,
    /// The response.
    pub answer: Option<Content>,
}

/// A row that a handler wrote.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct EffectRow {
    /// The operation, which is the client's key.
    pub key: String,
    /// Counts the executions.
    pub attempt: u32,
    /// The run.
    pub execution: String,
}

/// A whole run.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct History {
    /// The level of guarantee.
    pub mode: Mode,
    /// Whether a crash of the database may take claims with it.
    pub relaxed_claims: bool,
    /// The length of a lease.
    pub lease: Duration,
    /// Every process.
    pub lives: Vec<Life>,
    /// Everything the nemesis did, and what the processes saw of it themselves.
    pub faults: Vec<Fault>,
    /// Every call of a store's verb.
    pub calls: Vec<Call>,
    /// Every run of the handler.
    pub runs: Vec<Run>,
    /// Every request with a key.
    pub requests: Vec<Request>,
    /// Every request without one.
    pub probes: Vec<Probe>,
    /// What each key asked for.
    pub operations: BTreeMap<String, Instructions>,
    /// The keys that had no final answer when everything had been healed.
    pub unfinished: Vec<String>,
    /// The records at the end.
    pub records: BTreeMap<String, Kept>,
    /// The effects at the end.
    pub effects: Vec<EffectRow>,
    /// Lines of the servers' logs that hold what they must not.
    pub leaks: Vec<String>,
    /// When the servers that were left were stopped.
    pub end: Moment,
}

/// What was seen of one key, each kind in the order of its beginnings.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of the history")]
pub struct Timeline<'a> {
    /// The key.
    pub key: &'a str,
    /// Calls of the store's verbs.
    pub calls: Vec<&'a Call>,
    /// Runs of the handler.
    pub runs: Vec<&'a Run>,
    /// Requests.
    pub requests: Vec<&'a Request>,
    /// Effects.
    pub effects: Vec<&'a EffectRow>,
    /// The record at the end.
    pub record: Option<&'a Kept>,
}

impl History {
    /// Splits the history into its keys.
    #[must_use]
    pub fn timelines(&self) -> Vec<Timeline<'_>> {
        let mut all = BTreeMap::<&str, Timeline<'_>>::new();
        for call in &self.calls {
            self.entry(&mut all, &call.key).calls.push(call);
        }
        for run in &self.runs {
            self.entry(&mut all, &run.key).runs.push(run);
        }
        for request in &self.requests {
            self.entry(&mut all, &request.key).requests.push(request);
        }
        for effect in &self.effects {
            self.entry(&mut all, &effect.key).effects.push(effect);
        }
        for key in self.records.keys() {
            self.entry(&mut all, key);
        }
        let mut timelines: Vec<_> = all.into_values().collect();
        for timeline in &mut timelines {
            timeline.calls.sort_by_key(|call| call.begun);
            timeline.runs.sort_by_key(|run| run.begun);
            timeline.requests.sort_by_key(|request| request.begun);
        }
        timelines
    }

    /// Returns when a process was certainly gone, if it was killed.
    #[must_use]
    pub fn killed(&self, server: ServerId) -> Option<Moment> {
        let life = self.lives.iter().find(|life| life.server == server);
        life.and_then(|life| life.killed)
    }

    /// Returns what befell a process between two moments.
    pub fn faults_of(
        &self,
        server: ServerId,
        from: Moment,
        to: Moment,
    ) -> impl Iterator<Item = &Fault> {
        self.faults
            .iter()
            .filter(move |fault| fault.whom.is(server) && fault.from <= to && fault.to >= from)
    }

    fn entry<'a, 'b>(
        &'a self,
        all: &'b mut BTreeMap<&'a str, Timeline<'a>>,
        key: &'a str,
    ) -> &'b mut Timeline<'a> {
        all.entry(key).or_insert_with(|| Timeline {
            key,
            calls: Vec::new(),
            runs: Vec::new(),
            requests: Vec::new(),
            effects: Vec::new(),
            record: self.records.get(key),
        })
    }
}

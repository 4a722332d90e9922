use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tower_idempotency_core::{StoreError, StoreErrorKind};

use super::Gate;

/// The verbs of a store and its executions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Verb {
    /// `Store::claim`.
    Claim,
    /// `Execution::complete`.
    Complete,
    /// `Store::ended`.
    Ended,
    /// `Store::list`.
    List,
    /// `Store::lookup`.
    Lookup,
    /// `Execution::release`.
    Release,
    /// `Execution::renew`.
    Renew,
    /// `Store::resolve`.
    Resolve,
    /// `Execution::standing`.
    Standing,
    /// `Store::sweep`.
    Sweep,
}

/// What a [`FaultStore`](super::FaultStore) shall do wrong, and how often it was asked.
///
/// Clones share the script, so that a test can change it while the store is in use.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<HashMap<Verb, Script>>>);

#[derive(Debug, Default)]
struct Script {
    calls: u64,
    next: VecDeque<Fault>,
    rolled_back: VecDeque<StoreErrorKind>,
    lasting: Option<StoreErrorKind>,
    gate: Option<Gate>,
}

/// One call gone wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The call is not made.
    Refuse(StoreErrorKind),
    /// The call is made, and its answer lost.
    LoseAnswer,
}

impl Faults {
    /// Lets the next `calls` of `verb` fail without being made.
    pub fn fail_next(&self, verb: Verb, calls: usize, kind: StoreErrorKind) {
        let faults = std::iter::repeat_n(Fault::Refuse(kind), calls);
        self.lock().entry(verb).or_default().next.extend(faults);
    }

    /// Lets the next `calls` of `verb` be made, and their answers be lost.
    pub fn lose_acknowledgement_next(&self, verb: Verb, calls: usize) {
        let faults = std::iter::repeat_n(Fault::LoseAnswer, calls);
        self.lock().entry(verb).or_default().next.extend(faults);
    }

    /// Lets the next `calls` of `verb`, complete or release, end as those of a transaction that
    /// cannot be committed do: the key is free, and the error is of this kind.
    pub fn roll_back_next(&self, verb: Verb, calls: usize, kind: StoreErrorKind) {
        let kinds = std::iter::repeat_n(kind, calls);
        self.lock()
            .entry(verb)
            .or_default()
            .rolled_back
            .extend(kinds);
    }

    /// Lets every call of `verb` fail until [`heal`](Self::heal).
    pub fn fail_until_healed(&self, verb: Verb, kind: StoreErrorKind) {
        self.lock().entry(verb).or_default().lasting = Some(kind);
    }

    /// Lets calls of `verb` wait at a gate before they are made.
    #[must_use]
    pub fn hold(&self, verb: Verb) -> Gate {
        let gate = Gate::new();
        self.lock().entry(verb).or_default().gate = Some(gate.clone());
        gate
    }

    /// Ends every fault; gates stay.
    pub fn heal(&self) {
        for script in self.lock().values_mut() {
            script.next.clear();
            script.rolled_back.clear();
            script.lasting = None;
        }
    }

    /// Returns how often `verb` was called, failed calls included.
    #[must_use]
    pub fn calls(&self, verb: Verb) -> u64 {
        self.lock().get(&verb).map_or(0, |script| script.calls)
    }

    /// Returns how often any verb was called.
    #[must_use]
    pub fn all_calls(&self) -> u64 {
        self.lock().values().map(|script| script.calls).sum()
    }

    /// Says how the transaction that `verb` would end is rolled back, if it shall be.
    pub(crate) fn rolls_back(&self, verb: Verb) -> Option<StoreErrorKind> {
        let mut scripts = self.lock();
        let script = scripts.get_mut(&verb)?;
        let kind = script.rolled_back.pop_front()?;
        script.calls += 1;
        Some(kind)
    }

    /// Makes a call of `verb`, or does not, as the script says.
    pub(crate) async fn play<T>(
        &self,
        verb: Verb,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (fault, gate) = self.next(verb);
        if let Some(gate) = gate {
            gate.enter().await;
        }
        match fault {
            None => call.await,
            Some(Fault::Refuse(kind)) => Err(kind.into()),
            Some(Fault::LoseAnswer) => {
                drop(call.await?);
                Err(StoreErrorKind::Unavailable.into())
            }
        }
    }

    fn next(&self, verb: Verb) -> (Option<Fault>, Option<Gate>) {
        let mut scripts = self.lock();
        let script = scripts.entry(verb).or_default();
        script.calls += 1;
        let fault = script.next.pop_front();
        let fault = fault.or_else(|| script.lasting.map(Fault::Refuse));
        (fault, script.gate.clone())
    }

    /// Each change is one step, so a script left by a test that panicked is whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Verb, Script>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

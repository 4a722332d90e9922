//! What can happen next, and what cannot.

use crate::{
    Action, Fate, Guard, Mode, Protocol, Verdict,
    state::{Phase, Request, State, Statement, Token, Verb, Worker},
    store,
};

impl Protocol {
    /// Says everything that can happen in `state`.
    pub(crate) fn possible(&self, state: &State, actions: &mut Vec<Action>) {
        for (worker, now) in state.workers.iter().enumerate() {
            // Of equal workers the first one acts: what the others could do is the same.
            if worker > 0 && state.workers[worker - 1] == *now {
                continue;
            }
            for statement in self.statements(state, now) {
                self.fates(state, worker, statement, actions);
            }
            if let Worker::Busy { phase, .. } = now {
                self.verdicts(*phase, worker, actions);
                if state.left.faults > 0 {
                    actions.push(Action::Crash { worker });
                }
            }
        }
        for (place, statement) in state.late.iter().enumerate() {
            if !self.waits(state, statement) {
                actions.push(Action::Late { place });
            }
        }
        self.passing_of_time(state, actions);
    }

    /// Lists what a worker may send.
    pub(crate) fn statements(&self, state: &State, worker: &Worker) -> Vec<Statement> {
        let Worker::Busy { request, phase } = *worker else {
            return self.first_statements(state);
        };
        let renews = (state.left.renewals > 0).then_some(Verb::Renew);
        let verbs = match phase {
            Phase::Claiming => vec![self.first_verb()],
            Phase::TakingOver(seen) => vec![Verb::TakeOver(seen)],
            Phase::LookingUp => vec![Verb::LookUp],
            Phase::Locking => vec![Verb::Lock],
            Phase::Committing => vec![Verb::Commit],
            Phase::Releasing(release) => vec![Verb::Release(release)],
            Phase::Completing => renews.into_iter().chain([Verb::Complete]).collect(),
            Phase::Running => match self.mode {
                Mode::Leased => renews.into_iter().collect(),
                Mode::Fenced => renews.into_iter().chain([Verb::CompleteIn]).collect(),
                Mode::Transactional => vec![Verb::Commit],
            },
        };
        verbs
            .into_iter()
            .map(|verb| Statement { request, verb })
            .collect()
    }

    /// A new request begins with its first statement: taking it in touches nothing shared.
    fn first_statements(&self, state: &State) -> Vec<Statement> {
        if state.left.requests == 0 {
            return Vec::new();
        }
        let token = Token(self.bounds.requests - state.left.requests);
        let requests = (0..self.bounds.keys).flat_map(|key| {
            (0..self.bounds.fingerprints).map(move |fingerprint| Request {
                key,
                token,
                fingerprint,
            })
        });
        let verb = self.first_verb();
        requests
            .map(|request| Statement { request, verb })
            .collect()
    }

    fn first_verb(&self) -> Verb {
        match self.mode {
            Mode::Transactional if self.has(Guard::LookupUnderLock) => Verb::Lock,
            Mode::Transactional => Verb::LookUp,
            Mode::Leased | Mode::Fenced => Verb::Claim,
        }
    }

    fn fates(&self, state: &State, worker: usize, statement: Statement, actions: &mut Vec<Action>) {
        let fates: &[Fate] = match statement.verb {
            // Whoever waits for a row gives up some time.
            _ if self.waits(state, &statement) && state.left.faults == 0 => &[],
            _ if self.waits(state, &statement) => &[Fate::Late],
            _ if state.left.faults == 0 => &[Fate::Answered],
            // A transaction whose connection broke before its commit is never continued,
            // so that it does not matter when its last statement was carried out.
            Verb::CompleteIn | Verb::Lock => &[Fate::Answered, Fate::Lost],
            Verb::LookUp => &[Fate::Answered],
            _ => &[Fate::Answered, Fate::Lost, Fate::Late],
        };
        actions.extend(fates.iter().map(|&fate| Action::Call {
            worker,
            statement,
            fate,
        }));
    }

    fn verdicts(&self, phase: Phase, worker: usize, actions: &mut Vec<Action>) {
        if phase != Phase::Running {
            return;
        }
        let verdicts: &[Verdict] = match self.mode {
            Mode::Leased => &[Verdict::Keep, Verdict::Fail, Verdict::Free],
            Mode::Fenced => &[Verdict::Fail, Verdict::Free],
            Mode::Transactional => &[Verdict::Fail],
        };
        actions.extend(
            verdicts
                .iter()
                .map(|&verdict| Action::Run { worker, verdict }),
        );
    }

    fn passing_of_time(&self, state: &State, actions: &mut Vec<Action>) {
        for (place, key) in state.keys.iter().enumerate() {
            if store::has_live_lease(key) && self.has(Guard::LeaseRunsOut) {
                actions.push(Action::LeaseEnds { key: place });
            }
            if store::can_expire(key) && state.left.expiries > 0 {
                actions.push(Action::Expires { key: place });
            }
            if store::can_sweep(key) {
                actions.push(Action::Sweep { key: place });
            }
            if self.server_can_abort(state, place) {
                actions.push(Action::Abort { key: place });
            }
        }
    }

    fn waits(&self, state: &State, statement: &Statement) -> bool {
        store::waits(
            &state.keys[usize::from(statement.request.key)],
            statement.verb,
        )
    }

    /// Tells whether the server would end the transaction that holds this key.
    pub(crate) fn server_can_abort(&self, state: &State, key: usize) -> bool {
        let key = &state.keys[key];
        store::can_abort(key)
            && (self.has(Guard::LockDiesWithOwner)
                || key.lock.is_some_and(|token| is_at_work(state, token)))
    }
}

/// Tells whether somebody may still end the transaction of this token.
fn is_at_work(state: &State, token: Token) -> bool {
    let worker = state.workers.iter().any(|worker| {
        matches!(worker, Worker::Busy { request, phase }
            if request.token == token && !matches!(phase, Phase::Releasing(_)))
    });
    let commit = state
        .late
        .iter()
        .any(|late| late.request.token == token && late.verb == Verb::Commit);
    worker || commit
}

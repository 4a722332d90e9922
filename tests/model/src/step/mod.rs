//! What an action makes of a state.

mod worker;

use crate::{
    Mode, Protocol,
    action::{Action, Fate, Verdict},
    state::{Key, Phase, State, Statement, Token, Verb, Worker},
    store::{self, Answer},
};

impl Protocol {
    /// Makes the state that follows.
    pub(crate) fn step(&self, before: &State, action: &Action) -> State {
        let mut state = before.clone();
        match *action {
            Action::Call {
                worker,
                statement,
                fate,
            } => self.call(&mut state, worker, &statement, fate),
            Action::Run { worker, verdict } => self.run(&mut state, worker, verdict),
            Action::Crash { worker } => {
                state.left.faults -= 1;
                state.workers[worker] = Worker::Idle;
            }
            Action::Late { place } => {
                let statement = state.late.remove(place);
                self.execute(&mut state, &statement);
            }
            Action::LeaseEnds { key } => store::end_lease(&mut state.keys[key]),
            Action::Expires { key } => {
                state.left.expiries -= 1;
                store::expire(&mut state.keys[key]);
            }
            Action::Sweep { key } => store::sweep(&mut state.keys[key]),
            Action::Abort { key } => store::abort(&mut state.keys[key]),
        }
        state.sort();
        state
    }

    fn call(&self, state: &mut State, worker: usize, statement: &Statement, fate: Fate) {
        let request = statement.request;
        let phase = match state.workers[worker] {
            Worker::Busy { phase, .. } => phase,
            Worker::Idle => {
                state.left.requests -= 1;
                Phase::Claiming
            }
        };
        if statement.verb == Verb::Renew {
            state.left.renewals -= 1;
        }
        if fate != Fate::Answered {
            state.left.faults -= 1;
        }
        let next = match fate {
            Fate::Answered => {
                let answer = self.execute(state, statement);
                self.after_answer(phase, statement.verb, answer)
            }
            Fate::Lost => {
                self.execute(state, statement);
                self.after_silence(phase, statement.verb)
            }
            Fate::Late => {
                state.late.push(*statement);
                self.after_silence(phase, statement.verb)
            }
        };
        state.workers[worker] = next.map_or(Worker::Idle, |phase| Worker::Busy { request, phase });
    }

    fn execute(&self, state: &mut State, statement: &Statement) -> Answer {
        let key = &mut state.keys[usize::from(statement.request.key)];
        store::execute(self, key, statement)
    }

    /// The handler ends. Only without a transaction is its effect there at once.
    fn run(&self, state: &mut State, worker: usize, verdict: Verdict) {
        let Worker::Busy { request, phase } = &mut state.workers[worker] else {
            return;
        };
        let key = &mut state.keys[usize::from(request.key)];
        *phase = verdict.phase();
        match self.mode {
            Mode::Leased => key.history.effect(),
            Mode::Fenced => {}
            Mode::Transactional => {
                roll_back(key, request.token);
                state.workers[worker] = Worker::Idle;
            }
        }
    }
}

fn roll_back(key: &mut Key, token: Token) {
    if key.lock == Some(token) {
        store::abort(key);
    }
}

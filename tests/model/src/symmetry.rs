//! Which states are the same but for names.

use crate::{
    history::Tokens,
    state::{Key, Phase, RecordState, Request, Seen, State, Statement, Token, Verb, Worker},
};

impl State {
    /// Returns the state that stands for all those that differ from this one only in names.
    ///
    /// Workers have no names to begin with: they are sorted.
    /// Keys can be swapped, since all are treated alike.
    /// Tokens are compared with those of the same key and only for equality,
    /// so that they can be numbered anew for each key, in the order in which they turn up.
    #[must_use]
    pub fn representative(&self) -> Self {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_by_cached_key(|&place| self.renamed(&[place]));
        self.renamed(&order)
    }

    /// Keeps these keys only, in this order, with new names for them and for their tokens.
    fn renamed(&self, order: &[usize]) -> Self {
        let mut workers = Vec::with_capacity(self.workers.len());
        let mut late = Vec::with_capacity(self.late.len());
        let mut keys = Vec::with_capacity(order.len());
        for (name, &place) in (0..).zip(order) {
            let mut names = Names::default();
            let mut key = self.keys[place];
            names.rename_key(&mut key);
            let busy = self.workers.iter().filter_map(|worker| match *worker {
                Worker::Busy { request, phase } => Some((request, phase)),
                Worker::Idle => None,
            });
            for (request, phase) in busy.filter(|(request, _)| is_of(*request, place)) {
                workers.push(Worker::Busy {
                    phase: names.phase(phase),
                    request: names.request(request, name),
                });
            }
            for statement in &self.late {
                if is_of(statement.request, place) {
                    late.push(Statement {
                        verb: names.verb(statement.verb),
                        request: names.request(statement.request, name),
                    });
                }
            }
            names.rename_all(&mut key.history.live);
            keys.push(key);
        }
        let is_idle = |worker: &&Worker| **worker == Worker::Idle;
        workers.extend(self.workers.iter().filter(is_idle));
        let left = self.left;
        let mut state = Self {
            keys,
            workers,
            late,
            left,
        };
        state.sort();
        state
    }
}

fn is_of(request: Request, place: usize) -> bool {
    usize::from(request.key) == place
}

/// The tokens of one key; the place of each is its new number.
#[derive(Default)]
struct Names(Vec<Token>);

impl Names {
    fn token(&mut self, token: Token) -> Token {
        let place = self.0.iter().position(|&known| known == token);
        let place = place.unwrap_or_else(|| {
            self.0.push(token);
            self.0.len() - 1
        });
        Token(u8::try_from(place).expect("requests are counted in a u8"))
    }

    fn rename_key(&mut self, key: &mut Key) {
        if let Some(record) = &mut key.record {
            record.token = self.token(record.token);
            if let RecordState::Completed(response) = &mut record.state {
                *response = self.token(*response);
            }
        }
        key.lock = key.lock.map(|token| self.token(token));
        key.history.completed_by = key.history.completed_by.map(|token| self.token(token));
    }

    fn rename_all(&mut self, tokens: &mut Tokens) {
        *tokens = tokens.iter().map(|token| self.token(token)).collect();
    }

    fn request(&mut self, request: Request, key: u8) -> Request {
        Request {
            key,
            token: self.token(request.token),
            ..request
        }
    }

    fn seen(&mut self, seen: Seen) -> Seen {
        Seen {
            token: self.token(seen.token),
            ..seen
        }
    }

    fn phase(&mut self, phase: Phase) -> Phase {
        match phase {
            Phase::TakingOver(seen) => Phase::TakingOver(self.seen(seen)),
            other => other,
        }
    }

    fn verb(&mut self, verb: Verb) -> Verb {
        match verb {
            Verb::TakeOver(seen) => Verb::TakeOver(self.seen(seen)),
            other => other,
        }
    }
}

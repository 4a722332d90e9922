//! Clients that retry as real ones do.

use std::{sync::Arc, time::Duration};

use chaos::{Answer, Moment, Request};
use fastrand::Rng;
use tokio::time::{Instant, sleep};

use crate::{arena::Arena, board::Operation, http_call::post};

const FIRST_PAUSE: Duration = Duration::from_millis(40);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const IMPATIENT: Duration = Duration::from_millis(150);

/// A client: takes up one operation after the other until the end.
pub(crate) async fn work(arena: Arc<Arena>, number: usize, seed: u64) {
    let mut client = Client {
        rng: Rng::with_seed(seed.wrapping_add(number as u64 + 1)),
        arena,
        number,
    };
    while !client.arena.is_over() {
        let operation = client.arena.board.pick(&mut client.rng);
        client.pursue(&operation).await;
    }
}

struct Client {
    arena: Arc<Arena>,
    number: usize,
    rng: Rng,
}

impl Client {
    /// Sends the operation until there is an answer, or patience ends.
    async fn pursue(&mut self, operation: &Arc<Operation>) {
        let patience = Duration::from_millis(self.rng.u64(2_000..12_000));
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        let mut is_doubled = self.rng.u32(..100) < 20;
        while Instant::now() < deadline && !self.arena.is_over() {
            let answer = if std::mem::take(&mut is_doubled) {
                self.send_to_two(operation).await
            } else {
                let slot = self.any_slot();
                self.send(operation, slot).await
            };
            match answer {
                Some(answer) if is_an_end(&answer) => return self.satisfied(operation).await,
                // A 409 and some 503s say how long to wait; some clients cannot.
                Some(Answer {
                    retry_after_seconds: Some(seconds),
                    ..
                }) => {
                    let asked = Duration::from_secs(seconds);
                    let impatient = self.rng.u32(..100) < 40;
                    self.rest(if impatient { IMPATIENT } else { asked }).await;
                }
                _ => {
                    self.rest(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Some clients ask again although they have an answer.
    async fn satisfied(&mut self, operation: &Arc<Operation>) {
        self.arena.board.done(operation);
        if self.rng.u32(..100) < 40 {
            self.rest(FIRST_PAUSE).await;
            let slot = self.any_slot();
            self.send(operation, slot).await;
        }
    }

    async fn send_to_two(&mut self, operation: &Operation) -> Option<Answer> {
        let first = self.any_slot();
        let second = (first + 1) % self.arena.fleet.len();
        let bounds = [self.bound(), self.bound()];
        let (first, second) = tokio::join!(
            self.send_within(operation, first, bounds[0]),
            self.send_within(operation, second, bounds[1]),
        );
        let better = second.as_ref().is_some_and(is_an_end);
        if better { second } else { first.or(second) }
    }

    async fn send(&mut self, operation: &Operation, slot: usize) -> Option<Answer> {
        let bound = self.bound();
        self.send_within(operation, slot, bound).await
    }

    async fn send_within(
        &self,
        operation: &Operation,
        slot: usize,
        bound: Duration,
    ) -> Option<Answer> {
        send(&self.arena, self.number, operation, slot, bound).await
    }

    fn any_slot(&mut self) -> usize {
        self.rng.usize(..self.arena.fleet.len())
    }

    /// How long the client waits for an answer; some go away in the middle of the handler.
    fn bound(&mut self) -> Duration {
        Duration::from_millis(if self.rng.u32(..100) < 35 {
            self.rng.u64(20..800)
        } else {
            4_000
        })
    }

    /// Waits with jitter.
    async fn rest(&mut self, pause: Duration) {
        sleep(pause.mul_f64(1.0 + self.rng.f64() / 2.0)).await;
    }
}

/// Sends a request and notes it; `None` if there was no answer.
pub(crate) async fn send(
    arena: &Arena,
    client: usize,
    operation: &Operation,
    slot: usize,
    bound: Duration,
) -> Option<Answer> {
    let Some((server, address)) = arena.fleet.target(slot) else {
        // What a client sees of a server that is not there.
        sleep(Duration::from_millis(5)).await;
        return None;
    };
    let begun = Moment::now();
    let key = Some(operation.key.as_str());
    let answer = post(address, "/effect", key, &operation.body, bound).await;
    let seen = answer.as_ref().ok().cloned();
    arena.note_request(Request {
        client,
        key: operation.key.clone(),
        server,
        begun,
        ended: Moment::now(),
        answer,
    });
    seen
}

/// Tells whether a client is content with an answer: it is the handler's, and no failure.
pub(crate) fn is_an_end(answer: &Answer) -> bool {
    answer.is_handlers() && answer.content.status < 500
}

//! What waits, what runs, and what is kept for later.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{Backend, BatchError, Limits};

/// A batch that takes longer than this may be stuck: nobody waits for it.
const LONG: Duration = Duration::from_millis(5);

/// What the caller is told.
type Told<B> = Result<<B as Backend>::Answer, BatchError<<B as Backend>::Error>>;

/// Where the caller waits for it.
pub(crate) type Receiver<B> = oneshot::Receiver<Told<B>>;

/// The other end.
pub(crate) type Sender<B> = oneshot::Sender<Told<B>>;

/// An operation and whom its answer is for.
pub(crate) struct Waiting<B: Backend> {
    pub(crate) operation: B::Operation,
    pub(crate) answer: Sender<B>,
}

pub(crate) struct Queue<B: Backend> {
    waiting: VecDeque<Waiting<B>>,
    /// How many lanes have a task.
    lanes: usize,
    /// How many of them are opening a connection.
    opening: usize,
    /// When those batches were taken that run.
    running: Vec<Instant>,
    /// Connections of lanes that have nothing to do.
    idle: Vec<B::Connection>,
    /// How many callers have gone since those that they left behind were last removed.
    gone: usize,
}

impl<B: Backend> Queue<B> {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            lanes: 0,
            opening: 0,
            running: Vec::new(),
            idle: Vec::new(),
            gone: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds an operation; returns whether the caller has to start a lane for it.
    #[must_use]
    pub(crate) fn push(&mut self, waiting: Waiting<B>, limits: &Limits) -> bool {
        self.waiting.push_back(waiting);
        let starts = self.lanes < limits.lanes.max(1) && self.needs_another_lane(limits);
        self.lanes += usize::from(starts);
        starts
    }

    /// Tells whether those that wait are better off with one more lane than with the next batch of
    /// one that there is.
    fn needs_another_lane(&self, limits: &Limits) -> bool {
        let is_stuck = || !self.running.is_empty() && !self.moves();
        self.lanes == self.opening || self.waiting.len() >= limits.crowd || is_stuck()
    }

    /// Tells whether a batch is running that will soon make room for those that wait.
    fn moves(&self) -> bool {
        self.running.iter().any(|taken| taken.elapsed() <= LONG)
    }

    /// Notes that a lane begins to open a connection, or has done so.
    pub(crate) fn set_opening(&mut self, begins: bool) {
        if begins {
            self.opening += 1;
        } else {
            self.opening -= 1;
        }
    }

    /// Notes that a caller has gone. When half of those that wait may be for nobody, they go too,
    /// so that what is left behind stays in proportion, and so does the cost of looking.
    pub(crate) fn leave(&mut self) {
        self.gone += 1;
        if self.gone * 2 > self.waiting.len() {
            self.waiting.retain(|waiting| !waiting.answer.is_closed());
            self.gone = 0;
        }
    }

    /// Takes the next batch, and says since when it is running: until [`ran`](Self::ran).
    pub(crate) fn take(&mut self, backend: &B, limits: &Limits) -> (Instant, Vec<Waiting<B>>) {
        let taken = Instant::now();
        self.running.push(taken);
        (taken, self.next_batch(backend, limits))
    }

    /// Notes that a lane's batch no longer runs, if it has one.
    pub(crate) fn ran(&mut self, taken: Option<Instant>) {
        let place = self.running.iter().position(|other| Some(*other) == taken);
        if let Some(place) = place {
            self.running.swap_remove(place);
        }
    }

    /// Takes those that wait longest, and fit together.
    fn next_batch(&mut self, backend: &B, limits: &Limits) -> Vec<Waiting<B>> {
        let at_most = self.waiting.len().min(limits.operations.max(1));
        let mut batch: Vec<Waiting<B>> = Vec::with_capacity(at_most);
        let mut keys = HashSet::with_capacity(at_most);
        let mut later = Vec::new();
        let mut bytes = 0_usize;
        while batch.len() < at_most
            && let Some(next) = self.waiting.pop_front()
        {
            if next.answer.is_closed() {
                continue;
            }
            let weight = backend.weight(&next.operation);
            if !batch.is_empty() && bytes.saturating_add(weight) > limits.bytes {
                later.push(next);
                break;
            }
            if let Some(key) = backend.key(&next.operation)
                && !keys.insert(key)
            {
                later.push(next);
                continue;
            }
            bytes = bytes.saturating_add(weight);
            batch.push(next);
        }
        for next in later.into_iter().rev() {
            self.waiting.push_front(next);
        }
        batch
    }

    /// Ends a lane if nothing waits, or nothing that would have had one more lane begun;
    /// returns whether it did, and keeps its connection then.
    ///
    /// Two lanes that both went on for a few would share a load that is one batch for one of them.
    pub(crate) fn end_if_spare(
        &mut self,
        limits: &Limits,
        connection: &mut Option<B::Connection>,
    ) -> bool {
        let ends = self.waiting.is_empty() || (self.moves() && self.waiting.len() < limits.crowd);
        if ends {
            self.lanes -= 1;
            self.idle.extend(connection.take());
        }
        ends
    }

    /// Ends a lane that can do nothing for those that wait;
    /// returns them if there is no other lane that can.
    pub(crate) fn end_lane(&mut self) -> VecDeque<Waiting<B>> {
        self.lanes -= 1;
        if self.lanes == 0 {
            std::mem::take(&mut self.waiting)
        } else {
            VecDeque::new()
        }
    }

    pub(crate) fn take_idle(&mut self) -> Option<B::Connection> {
        self.idle.pop()
    }

    pub(crate) fn take_idle_if(
        &mut self,
        is_wanted: impl FnMut(&mut B::Connection) -> bool,
    ) -> Vec<B::Connection> {
        self.idle.extract_if(.., is_wanted).collect()
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.lanes, self.idle.len())
    }
}

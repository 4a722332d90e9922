//! The task that runs batches, one after the other.

use std::{ops::Range, sync::Arc};

use tokio::{task::yield_now, time::Instant};

use crate::{
    Backend, BatchError, Ran,
    batcher::Shared,
    queue::{Sender, Waiting},
};

/// One of the places that a batch can run in.
///
/// Dropped before its end, it gives the place back: a panic or the end of a runtime costs those
/// whose batch was running, and nobody else.
pub(crate) struct Lane<B: Backend> {
    shared: Arc<Shared<B>>,
    connection: Option<B::Connection>,
    /// Since when its batch is running.
    running: Option<Instant>,
    has_ended: bool,
}

impl<B: Backend> Lane<B> {
    /// Stands for a lane that the queue has counted.
    pub(crate) const fn new(shared: Arc<Shared<B>>) -> Self {
        Self {
            shared,
            connection: None,
            running: None,
            has_ended: false,
        }
    }

    pub(crate) async fn run(mut self) {
        while !self.ends_if_spare() {
            if let Err(error) = self.connect().await {
                return self.give_up(&error);
            }
            let shared = &self.shared;
            // Whoever is ready to run now gets to put its operation in: after a batch, that is
            // everybody who was answered by it. A crowd can go without them, and is under way
            // while they are served.
            let is_crowd = shared.queue().len() * 4 >= shared.limits.crowd;
            if !is_crowd {
                yield_now().await;
            }
            let (taken, batch) = shared.queue().take(&shared.backend, &shared.limits);
            self.running = Some(taken);
            if !batch.is_empty() {
                self.run_batch(batch).await;
            }
        }
    }

    fn ends_if_spare(&mut self) -> bool {
        let mut queue = self.shared.queue();
        queue.ran(self.running.take());
        self.has_ended = queue.end_if_spare(&self.shared.limits, &mut self.connection);
        self.has_ended
    }

    /// Sees to it that there is a connection. Nothing is taken from the queue before.
    async fn connect(&mut self) -> Result<(), B::Error> {
        let backend = &self.shared.backend;
        loop {
            let kept = self.connection.take();
            let Some(kept) = kept.or_else(|| self.shared.queue().take_idle()) else {
                break;
            };
            if let Some(connection) = backend.reuse(kept).await {
                self.connection = Some(connection);
                return Ok(());
            }
        }
        let _opening = Opening::of(&self.shared);
        self.connection = Some(backend.connect().await?);
        Ok(())
    }

    fn give_up(mut self, error: &B::Error) {
        self.has_ended = true;
        let left = self.shared.queue().end_lane();
        for waiting in left {
            answer(waiting.answer, Err(BatchError::Failed(error.clone())));
        }
    }

    async fn run_batch(&mut self, batch: Vec<Waiting<B>>) {
        let (operations, senders): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|waiting| (waiting.operation, waiting.answer))
            .unzip();
        let mut batch: Batch<B> = Batch {
            operations,
            senders: senders.into_iter().map(Some).collect(),
        };
        tracing::debug!(operations = batch.operations.len(), "a batch is run");
        // The last one is the next one.
        let whole = 0..batch.operations.len();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            if batch.is_for_nobody(part.clone()) {
                continue;
            }
            let Some(connection) = self.connection.take() else {
                return;
            };
            let operations = &batch.operations[part.clone()];
            match self.shared.backend.run(connection, operations).await {
                Ran::Done {
                    connection,
                    answers,
                } => {
                    self.connection = Some(connection);
                    batch.answer(part, answers);
                }
                Ran::Poisoned { connection, error } => {
                    self.connection = Some(connection);
                    if part.len() == 1 {
                        batch.fail(part, &error);
                    } else {
                        let middle = part.start + part.len() / 2;
                        parts.extend([middle..part.end, part.start..middle]);
                    }
                }
                Ran::Failed { connection, error } => {
                    self.connection = connection;
                    if self.connection.is_none() {
                        let idle = self.shared.queue().take_idle_if(|_| true);
                        drop(idle);
                    }
                    return batch.fail(0..batch.operations.len(), &error);
                }
            }
        }
    }
}

impl<B: Backend> Drop for Lane<B> {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut queue = self.shared.queue();
            queue.ran(self.running.take());
            let left = queue.end_lane();
            drop(queue);
            // Their senders tell the callers.
            drop(left);
        }
    }
}

/// Counts a lane among those that open a connection.
struct Opening<'a, B: Backend>(&'a Shared<B>);

impl<'a, B: Backend> Opening<'a, B> {
    fn of(shared: &'a Shared<B>) -> Self {
        shared.queue().set_opening(true);
        Self(shared)
    }
}

impl<B: Backend> Drop for Opening<'_, B> {
    fn drop(&mut self) {
        self.0.queue().set_opening(false);
    }
}

struct Batch<B: Backend> {
    operations: Vec<B::Operation>,
    /// `None` once they are used.
    senders: Vec<Option<Sender<B>>>,
}

impl<B: Backend> Batch<B> {
    /// Tells whether a part that has been put off has nobody left who waits for it.
    fn is_for_nobody(&self, part: Range<usize>) -> bool {
        let is_whole = part.len() == self.operations.len();
        let has_gone =
            |sender: &Option<Sender<B>>| sender.as_ref().is_none_or(Sender::<B>::is_closed);
        !is_whole && self.senders[part].iter().all(has_gone)
    }

    fn answer(&mut self, part: Range<usize>, answers: Vec<B::Answer>) {
        debug_assert_eq!(part.len(), answers.len(), "one answer for each operation");
        for (sender, given) in self.senders[part].iter_mut().zip(answers) {
            if let Some(sender) = sender.take() {
                answer(sender, Ok(given));
            }
        }
    }

    fn fail(&mut self, part: Range<usize>, error: &B::Error) {
        for sender in &mut self.senders[part] {
            if let Some(sender) = sender.take() {
                answer(sender, Err(BatchError::Failed(error.clone())));
            }
        }
    }
}

/// A caller that has gone does not mind.
fn answer<T>(sender: tokio::sync::oneshot::Sender<T>, given: T) {
    drop(sender.send(given));
}

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{runtime::Handle, sync::oneshot};

use crate::{
    Backend, BatchError, Limits,
    lane::Lane,
    queue::{Queue, Receiver, Waiting},
};

/// Runs operations in batches. See the [crate docs](crate).
///
/// Cloning is cheap, and clones share queue and lanes.
pub struct Batcher<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
}

pub(crate) struct Shared<B: Backend> {
    pub(crate) backend: B,
    pub(crate) limits: Limits,
    queue: Mutex<Queue<B>>,
}

impl<B: Backend> Shared<B> {
    /// No code that can panic leaves the queue half changed.
    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue<B>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Backend> Batcher<B> {
    /// Runs batches on `backend`. Nothing is opened before the first operation.
    #[must_use]
    pub fn new(backend: B, limits: Limits) -> Self {
        Self {
            shared: Arc::new(Shared {
                backend,
                limits,
                queue: Mutex::new(Queue::new()),
            }),
        }
    }

    /// Returns the backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.shared.backend
    }

    /// Runs an operation, however many are waiting.
    ///
    /// For what is bounded by other means, and should not be lost.
    ///
    /// # Errors
    ///
    /// [`BatchError::Failed`] and [`BatchError::Interrupted`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the operation back, unless a batch has taken it: then it runs.
    pub fn run(
        &self,
        operation: B::Operation,
    ) -> impl Future<Output = Result<B::Answer, BatchError<B::Error>>> {
        self.submit(operation, usize::MAX)
    }

    /// Runs an operation, unless as many are waiting as [`Limits::queued`] allows.
    ///
    /// # Errors
    ///
    /// [`BatchError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the operation back, unless a batch has taken it: then it runs.
    pub fn run_if_room(
        &self,
        operation: B::Operation,
    ) -> impl Future<Output = Result<B::Answer, BatchError<B::Error>>> {
        self.submit(operation, self.shared.limits.queued)
    }

    /// Takes out those connections that no lane uses at present and that are to be closed.
    #[must_use]
    pub fn take_idle(
        &self,
        is_to_be_closed: impl FnMut(&mut B::Connection) -> bool,
    ) -> Vec<B::Connection> {
        self.shared.queue().take_idle_if(is_to_be_closed)
    }

    /// Returns a handle that does not keep the connections open.
    #[must_use]
    pub fn downgrade(&self) -> WeakBatcher<B> {
        WeakBatcher(Arc::downgrade(&self.shared))
    }

    /// Each async function on the way would have places of its own for the operation, and callers
    /// have the future on the heap: only this one waits.
    async fn submit(
        &self,
        operation: B::Operation,
        room: usize,
    ) -> Result<B::Answer, BatchError<B::Error>> {
        let answered = self.enqueue(operation, room)?;
        let mut caller = Caller {
            shared: &self.shared,
            is_answered: false,
        };
        let answer = answered.await;
        caller.is_answered = true;
        answer.unwrap_or(Err(BatchError::Interrupted))
    }

    /// Puts the operation where the next batch is taken from, and sees to it that there is one.
    fn enqueue(
        &self,
        operation: B::Operation,
        room: usize,
    ) -> Result<Receiver<B>, BatchError<B::Error>> {
        let runtime = Handle::try_current().map_err(|_| BatchError::Interrupted)?;
        let (answer, answered) = oneshot::channel();
        let starts = {
            let mut queue = self.shared.queue();
            if queue.len() >= room {
                return Err(BatchError::Full);
            }
            queue.push(Waiting { operation, answer }, &self.shared.limits)
        };
        if starts {
            // Made here, so that the lane is given up too if the runtime never runs the task.
            let lane = Lane::new(Arc::clone(&self.shared));
            runtime.spawn(lane.run());
        }
        Ok(answered)
    }
}

/// Notices when a caller goes away without its answer.
struct Caller<'a, B: Backend> {
    shared: &'a Shared<B>,
    is_answered: bool,
}

impl<B: Backend> Drop for Caller<'_, B> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.queue().leave();
        }
    }
}

impl<B: Backend> Clone for Batcher<B> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<B: Backend> fmt::Debug for Batcher<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}

/// A [`Batcher`] that may be gone.
pub struct WeakBatcher<B: Backend>(Weak<Shared<B>>);

impl<B: Backend> WeakBatcher<B> {
    /// Returns the batcher, if anybody still has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Batcher<B>> {
        self.0.upgrade().map(|shared| Batcher { shared })
    }
}

impl<B: Backend> fmt::Debug for WeakBatcher<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakBatcher")
    }
}

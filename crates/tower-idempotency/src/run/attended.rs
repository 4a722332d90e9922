//! Carrying a job out to its end, whatever becomes of whoever waits for it.
//!
//! As long as the connection's future is there and polled, the job is polled in it: a task of its
//! own would cost every request the way through the scheduler, and often to another processor and
//! back. It moves into a task
//!
//! - when the future is dropped before the job has ended: the client went away, or a timeout
//!   struck;
//! - when the first renewal of its lease is due. From then on nothing depends on the connection:
//!   a middleware that keeps the future and does not poll it cannot keep the lease from being
//!   renewed.
//!
//! One lock guards the job, so that it is never polled in two places.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_util::{FutureExt, future::CatchUnwind};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::task::{TaskTracker, task_tracker::TrackedFuture};
use tracing::{Instrument, instrument::Instrumented};

use crate::watch::{Movable, Watch};

/// What a job comes to; the error is what it panicked with.
type Ended<T> = Result<T, Box<dyn Any + Send>>;

/// A job on the heap. It is large, so it goes there before anything else is put around it: every
/// layer around it would move it once more.
pub(super) type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A job that knows its span, catches its panics and is counted.
type Carried<T> = TrackedFuture<CatchUnwind<AssertUnwindSafe<Instrumented<Job<T>>>>>;

/// Says why there is no output: the job panicked, or the runtime has shut down.
pub(super) struct Stopped;

/// Whether a job has become a task; shared with the job itself.
#[derive(Clone, Debug, Default)]
pub(super) struct InTask(Arc<AtomicBool>);

impl InTask {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Carries `job` out.
///
/// It must be polled in a runtime, which the job stays in. Its first renewal is due after
/// `patience`.
pub(super) struct Attended<'a, T: Send + 'static> {
    job: Stage<T>,
    in_task: InTask,
    watch: &'a Arc<Watch>,
    patience: Duration,
}

enum Stage<T> {
    /// Not polled yet. Many jobs end at their first poll, and need nothing else.
    ///
    /// One that is dropped here has claimed nothing.
    New(Carried<T>),
    /// It has had to wait for something, so it is watched over at this place.
    Shared { desk: Arc<Desk<T>>, place: usize },
    /// It has ended.
    Over,
}

struct Desk<T> {
    state: Mutex<State<T>>,
    in_task: InTask,
    runtime: Handle,
}

enum State<T> {
    /// Polled by the connection's future.
    Here { job: Carried<T>, waker: Waker },
    /// A task.
    InTask(JoinHandle<Ended<T>>),
    /// Its output is gone to where it belongs.
    Over,
}

impl<'a, T: Send + 'static> Attended<'a, T> {
    /// Begins a job, which `tracker` counts until it has ended, wherever that is.
    pub(super) fn new(
        job: Job<T>,
        in_task: InTask,
        tracker: &TaskTracker,
        watch: &'a Arc<Watch>,
        patience: Duration,
    ) -> Self {
        let job = AssertUnwindSafe(job.in_current_span()).catch_unwind();
        Self {
            job: Stage::New(tracker.track_future(job)),
            in_task,
            watch,
            patience,
        }
    }

    /// Puts a job that has to wait where it can be moved into a task.
    fn share(&self, job: Carried<T>, waker: Waker) -> Stage<T> {
        let desk = Arc::new(Desk {
            state: Mutex::new(State::Here { job, waker }),
            in_task: self.in_task.clone(),
            runtime: Handle::current(),
        });
        let place = self.watch.begin(Arc::clone(&desk) as _, self.patience);
        Stage::Shared { desk, place }
    }
}

impl<T: Send + 'static> Future for Attended<'_, T> {
    type Output = Result<T, Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = match &mut self.job {
            Stage::New(job) => match Pin::new(job).poll(cx) {
                Poll::Ready(ended) => ended.map_err(|_| Stopped),
                Poll::Pending => {
                    if let Stage::New(job) = std::mem::replace(&mut self.job, Stage::Over) {
                        self.job = self.share(job, cx.waker().clone());
                    }
                    return Poll::Pending;
                }
            },
            Stage::Shared { desk, .. } => return desk.lock().poll(cx),
            Stage::Over => panic!("a job was polled after its end"),
        };
        self.job = Stage::Over;
        Poll::Ready(ended)
    }
}

impl<T: Send + 'static> Drop for Attended<'_, T> {
    fn drop(&mut self) {
        if let Stage::Shared { desk, place } = &self.job {
            self.watch.end(*place);
            desk.lock().move_on(desk);
        }
    }
}

impl<T> Desk<T> {
    /// A job catches its panics, so the state is whole.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> State<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Stopped>> {
        let ended = match self {
            Self::Here { job, waker } => match Pin::new(job).poll(cx) {
                Poll::Ready(ended) => ended.map_err(|_| Stopped),
                Poll::Pending => {
                    waker.clone_from(cx.waker());
                    return Poll::Pending;
                }
            },
            Self::InTask(task) => match ready!(Pin::new(task).poll(cx)) {
                Ok(ended) => ended.map_err(|_| Stopped),
                Err(_) => Err(Stopped),
            },
            Self::Over => panic!("a job was polled after its end"),
        };
        *self = Self::Over;
        Poll::Ready(ended)
    }

    /// Makes a task of the job and returns whom to tell, unless it has ended or is one.
    fn move_on(&mut self, desk: &Desk<T>) -> Option<Waker> {
        match std::mem::replace(self, Self::Over) {
            Self::Here { job, waker } => {
                // Set before the task is polled, so that its timers begin with its first poll.
                desk.in_task.set();
                *self = Self::InTask(desk.runtime.spawn(job));
                Some(waker)
            }
            there => {
                *self = there;
                None
            }
        }
    }
}

impl<T: Send + 'static> Movable for Desk<T> {
    fn try_move(&self) {
        let moved = match self.state.try_lock() {
            Ok(mut state) => state.move_on(self),
            Err(TryLockError::Poisoned(state)) => state.into_inner().move_on(self),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(waker) = moved {
            waker.wake();
        }
    }
}

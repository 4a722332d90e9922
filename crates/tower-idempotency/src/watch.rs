//! Watching over the jobs that their connections' futures carry out.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// A job that can be moved into a task of its own.
pub(crate) trait Movable: Send + Sync {
    /// Moves it, unless it has ended, is there already, or is being polled at this moment.
    fn try_move(&self);
}

/// The jobs of one layer that have to wait for something, and when each shall be a task.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Jobs>);

#[derive(Default)]
struct Jobs {
    /// By place; a place that is free is in `free`.
    watched: Vec<Option<Watched>>,
    free: Vec<usize>,
    /// Whether the watchman is at work.
    watching: bool,
}

struct Watched {
    job: Arc<dyn Movable>,
    due: Instant,
}

impl Watch {
    /// Watches over a job, which shall be a task after `patience`; returns its place.
    pub(crate) fn begin(self: &Arc<Self>, job: Arc<dyn Movable>, patience: Duration) -> usize {
        let due = Instant::now() + patience;
        let mut jobs = self.lock();
        let watched = Some(Watched { job, due });
        let place = match jobs.free.pop() {
            Some(place) => {
                jobs.watched[place] = watched;
                place
            }
            None => {
                jobs.watched.push(watched);
                jobs.watched.len() - 1
            }
        };
        if !std::mem::replace(&mut jobs.watching, true) {
            let watchman = Watchman {
                watch: Arc::clone(self),
                at_work: true,
            };
            tokio::spawn(watchman.go_round(patience / 4));
        }
        place
    }

    /// Forgets a job.
    pub(crate) fn end(&self, place: usize) {
        let mut jobs = self.lock();
        let forgotten = jobs.watched[place].take();
        jobs.free.push(place);
        drop(jobs);
        // What it holds is not freed while others wait for the lock.
        drop(forgotten);
    }

    /// Returns the jobs that are due; `None` if there is no job at all.
    fn due(&self) -> Option<Vec<Arc<dyn Movable>>> {
        let now = Instant::now();
        let mut jobs = self.lock();
        jobs.watching = jobs.free.len() < jobs.watched.len();
        jobs.watching.then(|| {
            let watched = jobs.watched.iter().flatten();
            let due = watched.filter(|watched| watched.due <= now);
            due.map(|watched| Arc::clone(&watched.job)).collect()
        })
    }

    /// The state is changed in single steps, so a panic elsewhere cannot leave it half done.
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Moves the jobs that are due, and goes when there is none.
struct Watchman {
    watch: Arc<Watch>,
    at_work: bool,
}

impl Watchman {
    async fn go_round(mut self, every: Duration) {
        loop {
            sleep(every).await;
            let Some(due) = self.watch.due() else {
                self.at_work = false;
                return;
            };
            for job in due {
                // One that is being polled is looked at again in the next round.
                job.try_move();
            }
        }
    }
}

/// A runtime that shuts down may not be the only one: the next job calls another watchman.
impl Drop for Watchman {
    fn drop(&mut self) {
        if self.at_work {
            self.watch.lock().watching = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicU32);

    impl Movable for Counted {
        fn try_move(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_job_that_is_due_is_moved() {
        let watch = Arc::new(Watch::default());
        let (short, long) = (Arc::new(Counted::default()), Arc::new(Counted::default()));
        let place = watch.begin(Arc::clone(&short) as _, Duration::from_secs(10));
        sleep(Duration::from_secs(9)).await;
        assert_eq!(short.0.load(Ordering::Relaxed), 0);
        watch.end(place);
        let place = watch.begin(Arc::clone(&long) as _, Duration::from_secs(10));
        sleep(Duration::from_secs(13)).await;
        watch.end(place);
        assert_eq!(short.0.load(Ordering::Relaxed), 0);
        assert!(long.0.load(Ordering::Relaxed) > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchman_goes_when_there_is_no_job_and_comes_back() {
        let watch = Arc::new(Watch::default());
        for _ in 0..2 {
            let job = Arc::new(Counted::default());
            let place = watch.begin(Arc::clone(&job) as _, Duration::from_secs(10));
            assert!(watch.lock().watching);
            watch.end(place);
            sleep(Duration::from_secs(3)).await;
            assert!(!watch.lock().watching);
            assert_eq!(Arc::strong_count(&job), 1);
        }
    }
}

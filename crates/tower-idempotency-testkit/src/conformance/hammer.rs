//! Everything at once, over and over, watched from outside.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Barrier;
use tower_idempotency_core::{Claim, Execution, Release, Renewal, Settled, Store};

use super::support::{
    DAY, PAST_LEASE, again, claim, complete_with, completed, failed, name, release, renew,
    replayed, request, sweep,
};
use crate::Harness;

const WORKERS: usize = 16;
const KEYS: usize = 4;
const PHASES: usize = 8;
const BODIES: [&str; 4] = ["a", "b", "c", "d"];

/// What must be true of one key, kept where no store can get at it.
#[derive(Default)]
struct Witness {
    /// Whether somebody was given the key in this phase and has not begun to give it up.
    owned: AtomicBool,
    /// The body of the completion that counted. There is at most one.
    completed: Mutex<Option<&'static str>>,
}

/// At most one live owner and at most one completion for each key, whatever workers that claim,
/// renew, complete, fail, free, abandon and come back late do to each other.
pub async fn many_workers_never_own_one_key_at_once<H: Harness>(harness: &Arc<H>) {
    let witnesses: Arc<Vec<Witness>> = Arc::new((0..KEYS).map(|_| Witness::default()).collect());
    let mut abandoned: Vec<Vec<_>> = (0..WORKERS).map(|_| Vec::new()).collect();
    for phase in 0..PHASES {
        // No time passes inside of a phase: a lease that was given in it lives to its end.
        let barrier = Arc::new(Barrier::new(WORKERS));
        let workers = abandoned.drain(..).enumerate().map(|(worker, late)| {
            let barrier = Arc::clone(&barrier);
            let (harness, witnesses) = (Arc::clone(harness), Arc::clone(&witnesses));
            tokio::spawn(async move {
                barrier.wait().await;
                let seed = phase * WORKERS + worker;
                work(harness.store(), &witnesses, late, seed).await
            })
        });
        let workers: Vec<_> = workers.collect();
        for worker in join_all(workers).await {
            abandoned.push(worker.expect("a worker sees nothing wrong"));
        }
        // Sometimes all that is not completed expires as well.
        let expiry = if phase % 3 == 2 { DAY } else { Duration::ZERO };
        harness.advance(PAST_LEASE + expiry).await;
        for witness in witnesses.iter() {
            witness.owned.store(false, Ordering::SeqCst);
        }
    }
    for (key, witness) in witnesses.iter().enumerate() {
        if let Some(body) = witness.body() {
            let kept = replayed(harness.store(), &request(&format!("k-{key}"))).await;
            assert!(kept.body().is_some_and(|kept| kept == body));
        }
    }
}

impl Witness {
    fn body(&self) -> Option<&'static str> {
        *self.lock()
    }

    /// Notes a completion that the store says has counted.
    fn note_completion(&self, body: &'static str) {
        let before = self.lock().replace(body);
        assert_eq!(before, None, "a key is completed once");
    }

    fn lock(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.completed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comes back to what was abandoned in an earlier phase, and then claims every key once.
/// Returns what was abandoned in this one.
async fn work<St: Store>(
    store: &St,
    witnesses: &[Witness],
    late: Vec<(usize, St::Execution)>,
    seed: usize,
) -> Vec<(usize, St::Execution)> {
    for (turn, (key, mut execution)) in late.into_iter().enumerate() {
        let choice = choose(seed, turn);
        let body = BODIES[choice % BODIES.len()];
        if choice.is_multiple_of(8)
            && complete_with(&mut execution, &completed(body)).await == Settled::Applied
        {
            witnesses[key].note_completion(body);
        }
    }
    let mut abandoned = Vec::new();
    for turn in 0..KEYS {
        let key = (seed + turn) % KEYS;
        let witness = &witnesses[key];
        match claim(store, &again(&request(&format!("k-{key}")))).await {
            Claim::Acquired(execution) => {
                let twice = witness.owned.swap(true, Ordering::SeqCst);
                assert!(!twice, "two workers own one key at once");
                assert_eq!(witness.body(), None, "a completed key is given again");
                let left = end(witness, execution, choose(seed, turn)).await;
                abandoned.extend(left.map(|execution| (key, execution)));
            }
            Claim::Completed(kept) => {
                let body = kept.response.body().expect("a body was kept");
                assert!(BODIES.iter().any(|known| known == body));
            }
            Claim::InProgress { .. } => {}
            other => panic!("a key that all use alike is {}", name(&other)),
        }
        let _ = sweep(store, 10).await;
    }
    abandoned
}

/// A number that looks random and is the same in every run.
const fn choose(seed: usize, turn: usize) -> usize {
    (seed * KEYS + turn).wrapping_mul(2_654_435_761) >> 12
}

/// Ends an execution in one of the ways that there are; returns one that was abandoned.
async fn end<E: Execution>(witness: &Witness, mut execution: E, choice: usize) -> Option<E> {
    assert_eq!(renew(&mut execution).await, Renewal::Renewed);
    let settled = match choice % 16 {
        0 => {
            let body = BODIES[choice % BODIES.len()];
            let settled = complete_with(&mut execution, &completed(body)).await;
            witness.note_completion(body);
            settled
        }
        // Whoever is next may have the key before this one hears that it gave it up.
        1..=5 => {
            witness.owned.store(false, Ordering::SeqCst);
            release(&mut execution, &failed()).await
        }
        6..=10 => {
            witness.owned.store(false, Ordering::SeqCst);
            release(&mut execution, &Release::Free).await
        }
        _ => return Some(execution),
    };
    assert_eq!(settled, Settled::Applied, "a live lease is its owner's");
    None
}

//! The operations that clients have at work.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use chaos::{BODY_MARK, FailureKind, Instructions, KEY_MARK};
use fastrand::Rng;

use crate::fleet::lock;

/// One operation, which several clients may pursue with its key.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) key: String,
    pub(crate) instructions: Instructions,
    pub(crate) body: String,
    /// How many more clients may come to an end with it before it leaves the board.
    wanted: AtomicU32,
}

/// All operations of a run; some of them at work.
#[derive(Debug)]
pub(crate) struct Board {
    seed: u64,
    /// Whether all handlers take longer than a lease: what a missing fence needs to show.
    only_long: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    at_work: Vec<Arc<Operation>>,
    all: Vec<Arc<Operation>>,
}

impl Board {
    pub(crate) fn new(seed: u64, keys: u32, only_long: bool) -> Self {
        let board = Self {
            seed,
            only_long,
            state: Mutex::default(),
        };
        let mut state = lock(&board.state);
        for _ in 0..keys {
            let operation = board.next(&mut state);
            state.at_work.push(operation);
        }
        drop(state);
        board
    }

    /// Picks an operation that is at work.
    pub(crate) fn pick(&self, rng: &mut Rng) -> Arc<Operation> {
        let state = lock(&self.state);
        let index = rng.usize(..state.at_work.len());
        Arc::clone(&state.at_work[index])
    }

    /// Notes that a client came to an end with an operation, and may put another in its place.
    pub(crate) fn done(&self, operation: &Arc<Operation>) {
        let wanted = operation.wanted.load(Ordering::Relaxed);
        operation
            .wanted
            .store(wanted.saturating_sub(1), Ordering::Relaxed);
        if wanted > 1 {
            return;
        }
        let mut state = lock(&self.state);
        let is_it = |other: &Arc<Operation>| Arc::ptr_eq(other, operation);
        if let Some(index) = state.at_work.iter().position(is_it) {
            state.at_work[index] = self.next(&mut state);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Operation>> {
        lock(&self.state).all.clone()
    }

    fn next(&self, state: &mut State) -> Arc<Operation> {
        let operation = Arc::new(Operation::draw(self.seed, state.all.len(), self.only_long));
        state.all.push(Arc::clone(&operation));
        operation
    }
}

impl Operation {
    /// Draws operation `number`: the same one for the same seed.
    fn draw(seed: u64, number: usize, only_long: bool) -> Self {
        let mut rng = Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let key = format!("{KEY_MARK}{:016x}-{number}", rng.u64(..));
        let kinds = if only_long { 72..100 } else { 0..100 };
        let (before_ms, after_ms) = match rng.u32(kinds) {
            0..53 => (rng.u64(0..20), rng.u64(0..20)),
            53..72 => (rng.u64(50..500), rng.u64(50..500)),
            72..80 => (rng.u64(900..1_800), rng.u64(0..50)),
            80..88 => (rng.u64(0..50), rng.u64(900..1_800)),
            // Long enough that a server can lose the key, come back, and not have ended yet.
            _ => (rng.u64(0..50), rng.u64(2_000..4_000)),
        };
        let failures = [0, 0, 0, 0, 0, 0, 0, 1, 1, 2];
        let kinds = [
            FailureKind::Status,
            FailureKind::StatusBehindEffect,
            FailureKind::Panic,
        ];
        let instructions = Instructions {
            operation: key.clone(),
            before_ms,
            after_ms,
            failures: failures[rng.usize(..failures.len())],
            failure: kinds[rng.usize(..kinds.len())],
            refuses: rng.u32(..100) < 8,
            canary: format!("{BODY_MARK}{:016x}", rng.u64(..)),
        };
        Self {
            body: serde_json::to_string(&instructions).expect("instructions are plain data"),
            key,
            instructions,
            wanted: AtomicU32::new(rng.u32(1..4)),
        }
    }
}

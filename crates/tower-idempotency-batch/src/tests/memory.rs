//! A backend in memory, whose batches wait at a gate.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

use crate::{Backend, BatchError, Batcher, Limits, Ran};

/// What a number means to the backend.
pub(super) const POISON: u32 = 1_000;
pub(super) const PANIC: u32 = 1_001;
pub(super) const LOSE: u32 = 1_002;
pub(super) const FAIL: u32 = 1_003;
/// These have keys.
pub(super) const FIRST_WITH_KEY: u32 = 10_000;

pub(super) struct Memory {
    /// One permit for each batch.
    pub(super) gate: Semaphore,
    /// One permit for each connection.
    pub(super) door: Semaphore,
    pub(super) begun: Semaphore,
    pub(super) batches: Mutex<Vec<Vec<u32>>>,
    pub(super) opened: AtomicUsize,
    pub(super) refuses_connections: AtomicBool,
    pub(super) refuses_reuse: AtomicBool,
}

impl Backend for Arc<Memory> {
    type Connection = usize;
    type Operation = u32;
    type Key = u32;
    type Answer = u32;
    type Error = &'static str;

    async fn connect(&self) -> Result<usize, &'static str> {
        self.door.acquire().await.unwrap().forget();
        if self.refuses_connections.load(Ordering::SeqCst) {
            return Err("refused");
        }
        Ok(self.opened.fetch_add(1, Ordering::SeqCst))
    }

    async fn reuse(&self, connection: usize) -> Option<usize> {
        (!self.refuses_reuse.load(Ordering::SeqCst)).then_some(connection)
    }

    async fn run(&self, connection: usize, batch: &[u32]) -> Ran<Self> {
        self.batches.lock().unwrap().push(batch.to_vec());
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        let has = |number| batch.contains(&number);
        assert!(!has(PANIC), "as asked");
        if has(LOSE) {
            let error = "lost";
            return Ran::Failed {
                connection: None,
                error,
            };
        }
        if has(FAIL) {
            let (connection, error) = (Some(connection), "failed");
            return Ran::Failed { connection, error };
        }
        if has(POISON) {
            let error = "poisoned";
            return Ran::Poisoned { connection, error };
        }
        let answers = batch.iter().map(|number| number + 1).collect();
        Ran::Done {
            connection,
            answers,
        }
    }

    fn weight(&self, operation: &u32) -> usize {
        *operation as usize % 100
    }

    fn key(&self, operation: &u32) -> Option<u32> {
        (*operation >= FIRST_WITH_KEY).then_some(operation % 10)
    }
}

pub(super) struct Fixture {
    pub(super) memory: Arc<Memory>,
    pub(super) batcher: Batcher<Arc<Memory>>,
}

pub(super) const MANY: usize = 1_000_000;

impl Fixture {
    pub(super) fn new(adjust: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            lanes: 1,
            crowd: 1,
            ..Limits::default()
        };
        adjust(&mut limits);
        let memory = Arc::new(Memory {
            gate: Semaphore::new(0),
            door: Semaphore::new(MANY),
            begun: Semaphore::new(0),
            batches: Mutex::default(),
            opened: AtomicUsize::new(0),
            refuses_connections: AtomicBool::new(false),
            refuses_reuse: AtomicBool::new(false),
        });
        let batcher = Batcher::new(Arc::clone(&memory), limits);
        Self { memory, batcher }
    }

    /// Starts an operation and waits until it is queued or taken.
    pub(super) async fn start(&self, number: u32) -> Asked {
        let batcher = self.batcher.clone();
        let asked = tokio::spawn(async move { batcher.run(number).await });
        // In the test's runtime of one thread, it runs up to its first wait.
        tokio::task::yield_now().await;
        asked
    }

    pub(super) async fn start_all(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<Asked> {
        let mut all = Vec::new();
        for number in numbers {
            all.push(self.start(number).await);
        }
        all
    }

    /// Starts one and waits until its batch is in flight.
    pub(super) async fn occupy(&self, number: u32) -> Asked {
        let asked = self.start(number).await;
        self.until_begun().await;
        asked
    }

    pub(super) async fn until_begun(&self) {
        within(self.memory.begun.acquire()).await.unwrap().forget();
    }

    pub(super) fn open(&self, batches: usize) {
        self.memory.gate.add_permits(batches);
    }

    pub(super) fn batches(&self) -> Vec<Vec<u32>> {
        self.memory.batches.lock().unwrap().clone()
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        self.batcher.shared.queue().counts()
    }

    /// Waits until every lane has ended; returns how many connections are kept.
    pub(super) async fn until_quiet(&self) -> usize {
        within(async {
            while self.counts().0 > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.counts().1
    }
}

pub(super) type Asked = JoinHandle<Result<u32, BatchError<&'static str>>>;

pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.unwrap()
}

pub(super) async fn answer(asked: Asked) -> Result<u32, BatchError<&'static str>> {
    within(asked).await.unwrap()
}

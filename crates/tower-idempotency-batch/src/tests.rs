//! With a backend in memory, whose batches wait at a gate.

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
const POISON: u32 = 1_000;
const PANIC: u32 = 1_001;
const LOSE: u32 = 1_002;
const FAIL: u32 = 1_003;
/// These have keys.
const FIRST_WITH_KEY: u32 = 10_000;

struct Memory {
    /// One permit for each batch.
    gate: Semaphore,
    /// One permit for each connection.
    door: Semaphore,
    begun: Semaphore,
    batches: Mutex<Vec<Vec<u32>>>,
    opened: AtomicUsize,
    refuses_connections: AtomicBool,
    refuses_reuse: AtomicBool,
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

struct Fixture {
    memory: Arc<Memory>,
    batcher: Batcher<Arc<Memory>>,
}

const MANY: usize = 1_000_000;

impl Fixture {
    fn new(adjust: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            lanes: 1,
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
    async fn start(&self, number: u32) -> Asked {
        let batcher = self.batcher.clone();
        let asked = tokio::spawn(async move { batcher.run(number).await });
        // In the test's runtime of one thread, it runs up to its first wait.
        tokio::task::yield_now().await;
        asked
    }

    async fn start_all(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<Asked> {
        let mut all = Vec::new();
        for number in numbers {
            all.push(self.start(number).await);
        }
        all
    }

    /// Starts one and waits until its batch is in flight.
    async fn occupy(&self, number: u32) -> Asked {
        let asked = self.start(number).await;
        self.until_begun().await;
        asked
    }

    async fn until_begun(&self) {
        within(self.memory.begun.acquire()).await.unwrap().forget();
    }

    fn open(&self, batches: usize) {
        self.memory.gate.add_permits(batches);
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.memory.batches.lock().unwrap().clone()
    }

    fn counts(&self) -> (usize, usize) {
        self.batcher.shared.queue().counts()
    }

    /// Waits until every lane has ended; returns how many connections are kept.
    async fn until_quiet(&self) -> usize {
        within(async {
            while self.counts().0 > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        self.counts().1
    }
}

type Asked = JoinHandle<Result<u32, BatchError<&'static str>>>;

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.unwrap()
}

async fn answer(asked: Asked) -> Result<u32, BatchError<&'static str>> {
    within(asked).await.unwrap()
}

#[tokio::test]
async fn a_lone_operation_goes_at_once() {
    let fixture = Fixture::new(|_| ());
    fixture.open(1);
    assert_eq!(within(fixture.batcher.run(1)).await, Ok(2));
    assert_eq!(fixture.until_quiet().await, 1);
    assert_eq!(fixture.batches(), [[1]]);
}

#[tokio::test]
async fn what_arrives_while_a_batch_is_in_flight_is_the_next_batch_in_order() {
    let fixture = Fixture::new(|_| ());
    let first = fixture.occupy(1).await;
    let others = fixture.start_all(2..=9).await;
    fixture.open(2);
    assert_eq!(answer(first).await, Ok(2));
    for (number, other) in (2..).zip(others) {
        assert_eq!(answer(other).await, Ok(number + 1));
    }
    assert_eq!(fixture.batches(), [vec![1], (2..=9).collect()]);
    assert_eq!(fixture.memory.opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_more_lanes_run_than_are_allowed() {
    let fixture = Fixture::new(|limits| limits.lanes = 2);
    let mut all = vec![fixture.occupy(1).await, fixture.occupy(2).await];
    all.extend(fixture.start_all(3..=5).await);
    assert_eq!(fixture.batches(), [[1], [2]]);
    fixture.open(3);
    for asked in all {
        assert!(answer(asked).await.is_ok());
    }
    assert_eq!(fixture.batches(), [vec![1], vec![2], vec![3, 4, 5]]);
    assert_eq!(fixture.until_quiet().await, 2);
}

#[tokio::test]
async fn a_batch_has_no_more_operations_than_allowed() {
    let fixture = Fixture::new(|limits| limits.operations = 3);
    let first = fixture.occupy(1).await;
    let others = fixture.start_all(2..=6).await;
    fixture.open(3);
    for asked in [first].into_iter().chain(others) {
        assert!(answer(asked).await.is_ok());
    }
    assert_eq!(fixture.batches(), [vec![1], vec![2, 3, 4], vec![5, 6]]);
}

#[tokio::test]
async fn a_batch_weighs_no_more_than_allowed_but_for_one_that_is_alone() {
    let fixture = Fixture::new(|limits| limits.bytes = 20);
    let first = fixture.occupy(1).await;
    let others = fixture.start_all([10, 10, 5, 99, 3]).await;
    fixture.open(5);
    for asked in [first].into_iter().chain(others) {
        assert!(answer(asked).await.is_ok());
    }
    let batches = [vec![1], vec![10, 10], vec![5], vec![99], vec![3]];
    assert_eq!(fixture.batches(), batches);
}

#[tokio::test]
async fn two_operations_with_one_key_are_not_in_one_batch() {
    let fixture = Fixture::new(|_| ());
    let first = fixture.occupy(1).await;
    let others = fixture.start_all([10_001, 10_011, 10_002, 10_012, 5]).await;
    fixture.open(3);
    for asked in [first].into_iter().chain(others) {
        assert!(answer(asked).await.is_ok());
    }
    let batches = [vec![1], vec![10_001, 10_002, 5], vec![10_011, 10_012]];
    assert_eq!(fixture.batches(), batches);
}

#[tokio::test]
async fn what_can_be_refused_is_when_the_queue_is_full() {
    let fixture = Fixture::new(|limits| limits.queued = 2);
    let first = fixture.occupy(1).await;
    let others = fixture.start_all([2, 3]).await;
    let refused = within(fixture.batcher.run_if_room(4)).await;
    assert_eq!(refused, Err(BatchError::Full));
    let kept = fixture.start(5).await;
    fixture.open(2);
    for asked in [first, kept].into_iter().chain(others) {
        assert!(answer(asked).await.is_ok());
    }
    assert_eq!(fixture.batches(), [vec![1], vec![2, 3, 5]]);
}

#[tokio::test]
async fn an_operation_whose_caller_has_gone_is_not_run_and_makes_room() {
    let fixture = Fixture::new(|limits| limits.queued = 2);
    let first = fixture.occupy(1).await;
    let others = fixture.start_all([2, 3]).await;
    for asked in others {
        asked.abort();
        assert!(within(asked).await.unwrap_err().is_cancelled());
    }
    let batcher = fixture.batcher.clone();
    let next = tokio::spawn(async move { batcher.run_if_room(4).await });
    tokio::task::yield_now().await;
    fixture.open(2);
    assert_eq!(answer(first).await, Ok(2));
    assert_eq!(answer(next).await, Ok(5));
    assert_eq!(fixture.batches(), [[1], [4]]);
}

#[tokio::test]
async fn an_operation_that_is_taken_runs_though_its_caller_goes() {
    let fixture = Fixture::new(|_| ());
    let asked = fixture.occupy(1).await;
    asked.abort();
    assert!(within(asked).await.unwrap_err().is_cancelled());
    fixture.open(1);
    assert_eq!(fixture.until_quiet().await, 1);
    fixture.open(1);
    assert_eq!(within(fixture.batcher.run(2)).await, Ok(3));
    assert_eq!(fixture.batches(), [[1], [2]]);
}

#[tokio::test]
async fn a_poisoned_operation_fails_alone() {
    let fixture = Fixture::new(|_| ());
    let first = fixture.occupy(1).await;
    let others = fixture.start_all([2, 3, POISON, 4, 5, 6]).await;
    fixture.open(20);
    assert_eq!(answer(first).await, Ok(2));
    let mut answers = Vec::new();
    for other in others {
        answers.push(answer(other).await);
    }
    let poisoned = Err(BatchError::Failed("poisoned"));
    assert_eq!(answers, [Ok(3), Ok(4), poisoned, Ok(5), Ok(6), Ok(7)]);
    assert_eq!(fixture.memory.opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failure_that_is_nobodys_is_everybodys_and_the_connection_stays() {
    let fixture = Fixture::new(|_| ());
    let first = fixture.occupy(1).await;
    let others = fixture.start_all([2, FAIL]).await;
    fixture.open(3);
    assert_eq!(answer(first).await, Ok(2));
    for other in others {
        assert_eq!(answer(other).await, Err(BatchError::Failed("failed")));
    }
    assert_eq!(within(fixture.batcher.run(3)).await, Ok(4));
    assert_eq!(fixture.memory.opened.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lost_connection_costs_its_batch_and_the_idle_ones_are_closed() {
    let fixture = Fixture::new(|limits| limits.lanes = 2);
    let both = [fixture.occupy(1).await, fixture.occupy(2).await];
    fixture.open(2);
    for asked in both {
        assert!(answer(asked).await.is_ok());
    }
    assert_eq!(fixture.until_quiet().await, 2);
    fixture.open(1);
    let lost = within(fixture.batcher.run(LOSE)).await;
    assert_eq!(lost, Err(BatchError::Failed("lost")));
    assert_eq!(fixture.until_quiet().await, 0);
    fixture.open(1);
    assert_eq!(within(fixture.batcher.run(3)).await, Ok(4));
    assert_eq!(fixture.memory.opened.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn those_behind_a_lost_connection_go_on_another_one() {
    let fixture = Fixture::new(|_| ());
    let lost = fixture.occupy(LOSE).await;
    let next = fixture.start(1).await;
    fixture.open(2);
    assert_eq!(answer(lost).await, Err(BatchError::Failed("lost")));
    assert_eq!(answer(next).await, Ok(2));
}

#[tokio::test]
async fn a_connection_that_may_not_be_used_again_is_replaced() {
    let fixture = Fixture::new(|_| ());
    fixture.open(2);
    assert_eq!(within(fixture.batcher.run(1)).await, Ok(2));
    let _ = fixture.until_quiet().await;
    fixture.memory.refuses_reuse.store(true, Ordering::SeqCst);
    assert_eq!(within(fixture.batcher.run(2)).await, Ok(3));
    assert_eq!(fixture.memory.opened.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn connections_that_nobody_uses_can_be_taken_out() {
    let fixture = Fixture::new(|limits| limits.lanes = 2);
    let both = [fixture.occupy(1).await, fixture.occupy(2).await];
    fixture.open(2);
    for asked in both {
        assert!(answer(asked).await.is_ok());
    }
    assert_eq!(fixture.until_quiet().await, 2);
    assert_eq!(
        fixture.batcher.take_idle(|connection| *connection == 1),
        [1]
    );
    assert_eq!(fixture.until_quiet().await, 1);
}

#[tokio::test]
async fn if_no_lane_can_connect_those_that_wait_get_the_error() {
    let fixture = Fixture::new(|limits| limits.lanes = 2);
    fixture.memory.door.forget_permits(MANY);
    let all = fixture.start_all(1..=4).await;
    fixture
        .memory
        .refuses_connections
        .store(true, Ordering::SeqCst);
    fixture.memory.door.add_permits(2);
    for asked in all {
        assert_eq!(answer(asked).await, Err(BatchError::Failed("refused")));
    }
    assert_eq!(fixture.counts(), (0, 0));
    assert!(fixture.batches().is_empty());
}

#[tokio::test]
async fn a_lane_that_waits_for_its_connection_holds_nobody() {
    let fixture = Fixture::new(|limits| limits.lanes = 2);
    fixture.memory.door.forget_permits(MANY);
    // Both lanes wait at the door; one gets in and takes what both were started for.
    let both = fixture.start_all([1, 2]).await;
    fixture.memory.door.add_permits(1);
    fixture.open(1);
    for asked in both {
        assert!(answer(asked).await.is_ok());
    }
    assert_eq!(fixture.batches(), [[1, 2]]);
    // The other one finds nothing to do, and its connection is kept.
    fixture.memory.door.add_permits(1);
    assert_eq!(fixture.until_quiet().await, 2);
}

#[tokio::test]
async fn a_panic_costs_its_batch_and_not_the_lane() {
    let fixture = Fixture::new(|_| ());
    let panics = fixture.occupy(PANIC).await;
    fixture.open(1);
    assert_eq!(answer(panics).await, Err(BatchError::Interrupted));
    assert_eq!(fixture.until_quiet().await, 0);
    fixture.open(1);
    assert_eq!(within(fixture.batcher.run(1)).await, Ok(2));
}

#[tokio::test]
async fn those_behind_a_panic_are_told_if_there_is_no_other_lane() {
    let fixture = Fixture::new(|_| ());
    let panics = fixture.occupy(PANIC).await;
    let next = fixture.start(1).await;
    fixture.open(1);
    assert_eq!(answer(panics).await, Err(BatchError::Interrupted));
    assert_eq!(answer(next).await, Err(BatchError::Interrupted));
    assert_eq!(fixture.counts().0, 0);
}

#[test]
fn the_end_of_a_runtime_leaves_the_lanes_to_others() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let fixture = Fixture::new(|_| ());
    let first = runtime();
    let _asked = first.block_on(fixture.occupy(1));
    drop(first);
    assert_eq!(fixture.counts(), (0, 0));
    fixture.open(1);
    let second = runtime();
    let answer = second.block_on(within(fixture.batcher.run(2)));
    assert_eq!(answer, Ok(3));
}

#[test]
fn outside_of_a_runtime_nothing_is_queued() {
    let fixture = Fixture::new(|_| ());
    let mut asked = std::pin::pin!(fixture.batcher.run(1));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let answer = asked.as_mut().poll(&mut context);
    assert_eq!(answer, std::task::Poll::Ready(Err(BatchError::Interrupted)));
    assert_eq!(fixture.counts(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_operation_is_forgotten_when_many_come_and_go() {
    const TASKS: u32 = 64;
    const EACH: u32 = 500;
    let fixture = Fixture::new(|limits| {
        limits.lanes = 2;
        limits.operations = 7;
    });
    fixture.open(MANY);
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let batcher = fixture.batcher.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    if (task + number) % 5 == 0 {
                        // Comes and goes: taken or not.
                        let gone = timeout(Duration::ZERO, batcher.run(number % 900)).await;
                        drop(gone);
                    }
                    assert_eq!(batcher.run(number % 900).await, Ok(number % 900 + 1));
                }
            })
        })
        .collect();
    for task in tasks {
        within(task).await.unwrap();
    }
    assert_eq!(fixture.until_quiet().await, fixture.counts().1);
    assert_eq!(fixture.counts().0, 0);
    assert!(fixture.batches().iter().all(|batch| batch.len() <= 7));
}

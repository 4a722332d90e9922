//! What goes wrong costs those whom it concerns.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::timeout;

use super::memory::{FAIL, Fixture, LOSE, MANY, PANIC, POISON, answer, within};
use crate::BatchError;

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

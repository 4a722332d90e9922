//! With a backend in memory, whose batches wait at a gate.

mod failures;
mod memory;

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::advance;

use self::memory::{Asked, Fixture, answer, within};
use crate::BatchError;

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
async fn another_lane_begins_for_a_crowd() {
    let fixture = Fixture::new(|limits| {
        limits.lanes = 2;
        limits.crowd = 3;
    });
    let first = fixture.occupy(1).await;
    let mut all = fixture.start_all([2, 3]).await;
    // The second lane would have taken them by now.
    assert_eq!(fixture.counts().0, 1);
    all.push(fixture.start(4).await);
    assert_eq!(fixture.counts().0, 2);
    fixture.until_begun().await;
    assert_eq!(fixture.batches(), [vec![1], vec![2, 3, 4]]);
    fixture.open(2);
    for asked in [first].into_iter().chain(all) {
        answer(asked).await.unwrap();
    }
}

/// Longer than a batch takes that is not stuck.
const LONG: Duration = Duration::from_millis(6);

#[tokio::test(start_paused = true)]
async fn another_lane_begins_beside_a_batch_that_is_stuck() {
    let fixture = Fixture::new(|limits| {
        limits.lanes = 2;
        limits.crowd = 1_000;
    });
    let stuck = fixture.occupy(1).await;
    let early = fixture.start(2).await;
    assert_eq!(fixture.counts().0, 1);
    advance(LONG).await;
    let late = fixture.start(3).await;
    fixture.until_begun().await;
    assert_eq!(fixture.batches(), [vec![1], vec![2, 3]]);
    fixture.open(2);
    for asked in [stuck, early, late] {
        answer(asked).await.unwrap();
    }
}

/// Starts a batch in each of two lanes, the second one for a crowd of three.
async fn in_two_lanes() -> (Fixture, Vec<Asked>) {
    let fixture = Fixture::new(|limits| {
        limits.lanes = 2;
        limits.crowd = 3;
    });
    let mut all = vec![fixture.occupy(1).await];
    all.extend(fixture.start_all([2, 3, 4]).await);
    fixture.until_begun().await;
    (fixture, all)
}

#[tokio::test(start_paused = true)]
async fn a_lane_leaves_a_few_to_one_whose_batch_is_under_way() {
    let (fixture, mut all) = in_two_lanes().await;
    all.extend(fixture.start_all([5, 6]).await);
    fixture.open(1);
    assert_eq!(answer(all.remove(0)).await, Ok(2));
    assert_eq!(fixture.counts(), (1, 1));
    fixture.open(2);
    for asked in all {
        answer(asked).await.unwrap();
    }
    assert_eq!(fixture.batches(), [vec![1], vec![2, 3, 4], vec![5, 6]]);
    assert_eq!(fixture.until_quiet().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lane_goes_on_for_a_crowd() {
    let (fixture, mut all) = in_two_lanes().await;
    all.extend(fixture.start_all([5, 6, 7]).await);
    fixture.open(1);
    fixture.until_begun().await;
    let batches = [vec![1], vec![2, 3, 4], vec![5, 6, 7]];
    assert_eq!(fixture.batches(), batches);
    fixture.open(2);
    for asked in all {
        answer(asked).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_goes_on_beside_a_batch_that_is_stuck() {
    let (fixture, mut all) = in_two_lanes().await;
    all.push(fixture.start(5).await);
    advance(LONG).await;
    fixture.open(1);
    fixture.until_begun().await;
    assert_eq!(fixture.batches(), [vec![1], vec![2, 3, 4], vec![5]]);
    fixture.open(2);
    for asked in all {
        answer(asked).await.unwrap();
    }
}

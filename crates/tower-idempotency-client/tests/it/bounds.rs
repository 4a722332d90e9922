//! How long it tries. Time is paused: it passes when everybody waits.

use std::{num::NonZeroU32, time::Duration};

use reqwest::Response;
use reqwest_middleware::Result;
use tokio::time::Instant;
use tower_idempotency_client::{AnswerExt, Operation, Outcome, RetryPolicy, SendErrorKind};

use crate::{
    script::{Act, answer, play},
    support::failure,
};

async fn timed(policy: RetryPolicy, acts: &[Act]) -> (Result<Response>, f64) {
    let began = Instant::now();
    let sent = play(policy, &Operation::new(), acts).await;
    (sent, began.elapsed().as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn it_stops_in_time_with_the_last_answer() {
    let (sent, seconds) = timed(RetryPolicy::new(), &[answer(503)]).await;
    assert!((40.0..60.0).contains(&seconds), "{seconds}");
    assert_eq!(Outcome::of(&sent), Outcome::Unknown);
    let answer = sent.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.tries() >= 10, "{}", answer.tries());
}

#[tokio::test(start_paused = true)]
async fn tries_are_cut_off_in_time() {
    let policy = RetryPolicy::new().total(Duration::from_secs(30));
    let (sent, seconds) = timed(policy, &[Act::Hang]).await;
    assert!((20.0..30.1).contains(&seconds), "{seconds}");
    assert_eq!(failure(&sent), (SendErrorKind::OutcomeUnknown, 2));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_waits_for_a_connection_was_not_sent() {
    let (sent, seconds) = timed(RetryPolicy::new(), &[Act::Wait]).await;
    assert!((40.0..60.1).contains(&seconds), "{seconds}");
    let (kind, _) = failure(&sent);
    assert_eq!(kind, SendErrorKind::NotSent);
    assert_eq!(Outcome::of(&sent), Outcome::NotSent);
}

#[tokio::test(start_paused = true)]
async fn it_waits_as_long_as_it_is_asked_to() {
    let busy = Act::Answer(429, ("retry-after", "7"), "");
    let (sent, seconds) = timed(RetryPolicy::new(), &[busy, answer(201)]).await;
    assert_eq!(sent.unwrap().tries(), 2);
    assert!((7.0..7.4).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn it_does_not_wait_for_what_comes_too_late() {
    for (status, outcome) in [(503, Outcome::Unknown), (429, Outcome::Done)] {
        let busy = Act::Answer(status, ("retry-after", "60"), "");
        let (sent, seconds) = timed(RetryPolicy::new(), &[busy]).await;
        assert_eq!(Outcome::of(&sent), outcome);
        assert_eq!(sent.unwrap().tries(), 1);
        assert!(seconds < 0.1, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_tries_than_asked_for() {
    for tries in [1, 3] {
        let policy = RetryPolicy::new().max_tries(NonZeroU32::new(tries).unwrap());
        let (sent, _) = timed(policy, &[Act::Break]).await;
        assert_eq!(failure(&sent), (SendErrorKind::OutcomeUnknown, tries));
    }
}

#[tokio::test(start_paused = true)]
async fn endless_bounds_are_no_mistake() {
    let policy = RetryPolicy::new()
        .total(Duration::MAX)
        .per_try(Duration::MAX)
        .first_pause(Duration::ZERO);
    let (sent, _) = timed(policy, &[answer(500), Act::Break, answer(200)]).await;
    assert_eq!(sent.unwrap().tries(), 3);
}

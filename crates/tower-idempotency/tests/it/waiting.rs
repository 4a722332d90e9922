//! Attempts, and one question to the store for everybody who waits.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;
use tokio::{sync::Semaphore, task::JoinSet};
use tower_idempotency::WaitPolicy;
use tower_idempotency_core::StoreErrorKind;
use tower_idempotency_testkit::{Verb, run};

use crate::support::{builder, counting, send, store, until, wrap};

#[test]
fn everybody_who_waits_costs_one_question_at_a_time() {
    run(async {
        let (store, faults) = store();
        let elsewhere = builder(store.clone()).build().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let closed = Arc::clone(&gate);
        let first = wrap(&elsewhere, move |_| {
            let closed = Arc::clone(&closed);
            async move {
                let _open = closed.acquire().await;
                (StatusCode::OK, String::new())
            }
        });
        let mut wait = WaitPolicy::at_most(Duration::from_secs(10));
        wait.poll_every = Duration::from_millis(20);
        // A layer of its own is to the waiters like another process: nobody wakes them.
        let (app, runs) = counting(&builder(store).wait(wait).build().unwrap());
        let mut clients = JoinSet::new();
        for key in 0..10 {
            let first = first.clone();
            clients.spawn(async move { send(&first, &format!("k-{key}")).await.status });
        }
        until(|| faults.calls(Verb::Claim) == 10).await;
        for waiter in 0..50 {
            let app = app.clone();
            clients.spawn(async move { send(&app, &format!("k-{}", waiter % 10)).await.status });
        }
        // Each asks twice when it comes, and then nobody asks but the poller.
        until(|| faults.calls(Verb::Claim) == 110).await;
        let polls = faults.calls(Verb::Ended);
        until(|| faults.calls(Verb::Ended) >= polls + 5).await;
        assert_eq!(faults.calls(Verb::Claim), 110);
        // A poller whose store fails goes on.
        faults.fail_next(Verb::Ended, 2, StoreErrorKind::Unavailable);
        gate.close();
        while let Some(status) = clients.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_key_has_as_many_attempts_as_it_is_given() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).max_attempts(2).build().unwrap();
        let app = wrap(&layer, |_| async {
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        });
        for _ in 0..2 {
            assert_eq!(send(&app, "k").await.status, 500);
        }
        let reply = send(&app, "k").await;
        assert_eq!(reply.status, 409);
        assert!(reply.body.contains("ATTEMPTS_EXHAUSTED"), "{}", reply.body);
    });
}

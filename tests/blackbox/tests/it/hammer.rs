//! Many tasks in two processes on one key.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use blackbox::{Fixture, StoreKind, scenarios};
use futures_util::future::join_all;

scenarios! {
    [sqlite, postgres]
        ten_thousand_requests_of_one_key_run_the_handler_once
}

const TASKS: usize = 64;
const REQUESTS: usize = 10_000;

async fn ten_thousand_requests_of_one_key_run_the_handler_once(store: StoreKind) {
    let a = Fixture::start(store, &[]).await;
    let b = a.second(&[]).await;
    let sent = Arc::new(AtomicUsize::new(0));
    // Each task has a connection of its own, half of them to either process.
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let fixture = if task % 2 == 0 { &a } else { &b };
        let (connection, sent) = (fixture.h2().await, Arc::clone(&sent));
        tasks.push(tokio::spawn(async move {
            let mut stored = 0;
            while sent.fetch_add(1, Ordering::Relaxed) < REQUESTS {
                let reply = connection.post("/slow?ms=200").key("hammered").send().await;
                assert!(
                    matches!(reply.status, 201 | 409),
                    "{}: {}",
                    reply.status,
                    reply.text()
                );
                stored += usize::from(reply.is_stored());
            }
            stored
        }));
    }
    let stored: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(stored, 1);
    assert_eq!(a.count("/slow").await + b.count("/slow").await, 1);
    assert_eq!(
        a.post("/slow?ms=200").key("hammered").send().await.status,
        201
    );
}

//! Ten thousand requests with one key, through two processes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use blackbox::{Call, Fixture, StoreKind, fresh_key, scenarios};
use tokio::task::JoinSet;

scenarios! {
    [sqlite, postgres]
    of_ten_thousand_requests_in_two_processes_one_runs,
    after_a_failure_among_thousands_exactly_one_more_runs;
}

const TASKS: usize = 64;

/// What the answers were.
#[derive(Debug, Default)]
struct Tally {
    first: AtomicU64,
    failed: AtomicU64,
    replayed: AtomicU64,
    in_progress: AtomicU64,
}

impl Tally {
    /// Counts one answer; any but those that must be are the test's failure.
    async fn take(&self, call: Call) {
        let reply = call.send().await;
        let counter = match (reply.status, reply.is_replay(), reply.is_stored()) {
            (201, true, false) => &self.replayed,
            (201, false, true) => &self.first,
            (409, false, false) if reply.code() == "REQUEST_IN_PROGRESS" => &self.in_progress,
            (500, false, false) if reply.code().is_empty() => &self.failed,
            other => panic!("{other:?}: {}", reply.text()),
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::SeqCst)
    }
}

/// Sends `path` so many times with one key: half of the tasks to each process, and of those half
/// on one HTTP/2 connection for each task, half on a new connection for each request.
async fn hammer(a: &Fixture, b: &Fixture, path: &str, requests: u64) -> Tally {
    let key = fresh_key();
    let tally = Arc::<Tally>::default();
    let sent = Arc::<AtomicU64>::default();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let fixture = if task % 2 == 0 { a } else { b };
        let call = match task / 2 % 2 {
            0 => fixture.h2().await.post(path),
            _ => fixture.post(path),
        };
        let call = call.key(&key).body("amount=1");
        let (tally, sent) = (Arc::clone(&tally), Arc::clone(&sent));
        tasks.spawn(async move {
            while sent.fetch_add(1, Ordering::SeqCst) < requests {
                tally.take(call.clone()).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("every answer is one of those that must be");
    }
    Arc::into_inner(tally).expect("all tasks have ended")
}

async fn of_ten_thousand_requests_in_two_processes_one_runs(kind: StoreKind) {
    let a = Fixture::start(kind, &["--sweep-ms", "20"]).await;
    let b = a.second(&["--sweep-ms", "20"]).await;
    let tally = hammer(&a, &b, "/slow?ms=200", 10_000).await;
    assert_eq!(a.count("/slow").await + b.count("/slow").await, 1);
    assert_eq!(Tally::of(&tally.first), 1, "{tally:?}");
    assert_eq!(Tally::of(&tally.failed), 0, "{tally:?}");
    assert_eq!(
        Tally::of(&tally.replayed) + Tally::of(&tally.in_progress),
        9_999,
        "{tally:?}"
    );
    assert!(Tally::of(&tally.in_progress) > 0, "{tally:?}");
    assert_eq!(a.rows().await.len(), 1);
}

async fn after_a_failure_among_thousands_exactly_one_more_runs(kind: StoreKind) {
    let a = Fixture::start(kind, &[]).await;
    let b = a.second(&[]).await;
    // Each process fails once; which of them runs first is not known.
    let tally = hammer(&a, &b, "/gate/g?status=500&once=1", 2_000);
    let (tally, ()) = tokio::join!(tally, async {
        a.release("g").await;
        b.release("g").await;
    });
    let runs = a.count("/gate/g").await + b.count("/gate/g").await;
    let failed = Tally::of(&tally.failed);
    assert!((1..=2).contains(&failed), "{tally:?}");
    assert_eq!(runs, failed + 1, "{tally:?}");
    assert_eq!(Tally::of(&tally.first), 1, "{tally:?}");
    let rows = a.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["attempt"], runs);
}

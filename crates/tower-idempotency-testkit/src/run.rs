use std::{future::Future, time::Duration};

/// How long one test may take.
const BOUND: Duration = Duration::from_secs(60);

/// Runs `test` to its end on a runtime of its own, for at most a minute.
///
/// # Panics
///
/// If `test` panics, or has not ended in time.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let output = runtime
        .block_on(async { tokio::time::timeout(BOUND, test).await })
        .expect("the test has not ended within a minute");
    // A task that hangs must not keep the test from ending.
    runtime.shutdown_timeout(Duration::from_secs(5));
    output
}

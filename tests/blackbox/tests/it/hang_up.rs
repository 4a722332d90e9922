//! Clients that hang up, in every way, at any instant.

use std::time::Duration;

use blackbox::{Fixture, StoreKind, eventually, raw, scenarios};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

scenarios! {
    [memory, sqlite, postgres]
        whoever_hangs_up_gets_one_execution
}

const WAYS: [HangUp; 4] = [
    HangUp::Fin,
    HangUp::Reset,
    HangUp::HalfClose,
    HangUp::H2Reset,
];
/// How often each way of hanging up is tried.
const TRIES: u64 = 50;
/// How long the handler takes; clients hang up before, during and after it.
const HANDLERS_MS: [u64; 3] = [60, 250, 1_000];
/// How often, at least, a client of each way has to leave while its handler runs.
const OVERLAPS: usize = 5;
const LEASE_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug)]
enum HangUp {
    Fin,
    Reset,
    HalfClose,
    H2Reset,
}

/// Two hundred clients at least; afterwards every key answers, and no handler ran twice.
async fn whoever_hangs_up_gets_one_execution(store: StoreKind) {
    let fixture = Fixture::start(store, &["--lease-ms", &LEASE_MS.to_string()]).await;
    let mut random = fastrand::Rng::with_seed(20_261_121);
    let mut tried = Vec::new();
    for way in WAYS {
        tried.extend(try_way(&fixture, way, &mut random).await);
    }
    for attempt in &tried {
        let key = &attempt.key;
        let bound = Duration::from_millis(LEASE_MS + 1_000);
        let answered = timeout(bound, answered(&fixture, attempt)).await;
        assert!(answered.is_ok(), "{key} is stuck past its lease");
        assert_eq!(fixture.count(&path_only(key)).await, 1, "{key}");
    }
}

/// Has fifty clients hang up; on a machine so busy that their handlers have ended by then, fifty
/// more, with handlers that take longer.
async fn try_way(fixture: &Fixture, way: HangUp, random: &mut fastrand::Rng) -> Vec<Attempt> {
    let mut tried = Vec::new();
    for handler_ms in HANDLERS_MS {
        let attempts: Vec<_> = (0..TRIES)
            .map(|n| Attempt {
                key: format!("{way:?}-{handler_ms}-{n}"),
                handler_ms,
            })
            .collect();
        let clients = attempts.iter().map(|attempt| {
            let instant = Duration::from_micros(random.u64(0..(handler_ms + 20) * 1_000));
            hang_up(fixture, way, attempt, instant)
        });
        let overlaps = join_all(clients).await;
        tried.extend(attempts);
        if overlaps.into_iter().filter(|overlaps| *overlaps).count() >= OVERLAPS {
            return tried;
        }
    }
    panic!("{way:?}: hardly anybody left while a handler ran");
}

struct Attempt {
    key: String,
    handler_ms: u64,
}

impl Attempt {
    fn path(&self) -> String {
        format!("{}?ms={}", path_only(&self.key), self.handler_ms)
    }
}

/// A path of its own for each key, so that runs are counted for each.
fn path_only(key: &str) -> String {
    format!("/v1/slow/{key}")
}

/// Retries until there is an answer; until then there is nothing but 409.
async fn answered(fixture: &Fixture, attempt: &Attempt) {
    eventually(|| async { !is_running(fixture, attempt).await }).await;
}

/// Sends a duplicate: it is told that the first one runs, or it gets the first one's answer, or it
/// is the first one itself.
async fn is_running(fixture: &Fixture, attempt: &Attempt) -> bool {
    let key = &attempt.key;
    let reply = fixture.post(&attempt.path()).key(key).send().await;
    if reply.status == 409 {
        reply.assert_problem(409, "REQUEST_IN_PROGRESS");
        return true;
    }
    assert_eq!(reply.status, 201, "{key}: {}", reply.text());
    assert!(reply.is_replay() || reply.is_stored(), "{key}");
    false
}

/// Returns whether the handler still ran when the client had hung up.
async fn hang_up(fixture: &Fixture, way: HangUp, attempt: &Attempt, instant: Duration) -> bool {
    let (key, path) = (&attempt.key, attempt.path());
    if matches!(way, HangUp::H2Reset) {
        let h2 = fixture.h2().await;
        // The dropped request is reset; the connection lives on until its task ends.
        let _ = timeout(instant, h2.post(&path).key(key).try_send()).await;
        return is_running(fixture, attempt).await;
    }
    let head = format!("Idempotency-Key: {key}\r\n");
    let request = raw::post(&path, head.as_bytes(), b"");
    let mut connection = raw::Connection::open(fixture.addr()).await;
    connection.send(&request).await;
    sleep(instant).await;
    match way {
        HangUp::Fin => connection.close(),
        HangUp::Reset => connection.reset(),
        HangUp::HalfClose | HangUp::H2Reset => {
            connection.half_close().await;
            let runs = is_running(fixture, attempt).await;
            let _ = timeout(Duration::from_secs(5), connection.read_to_end()).await;
            return runs;
        }
    }
    is_running(fixture, attempt).await
}

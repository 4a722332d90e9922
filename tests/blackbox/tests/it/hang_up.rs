//! Clients that hang up, in every way, at any instant.

use std::time::Duration;

use blackbox::{Fixture, StoreKind, eventually, raw, scenarios};
use tokio::time::{sleep, timeout};

scenarios! {
    [memory, sqlite, postgres]
        whoever_hangs_up_gets_one_execution
}

/// How often each way of hanging up is tried.
const TRIES: u64 = 50;
/// How long the handler takes; clients hang up before, during and after it.
const HANDLER_MS: u64 = 12;
const LEASE_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug)]
enum HangUp {
    Fin,
    Reset,
    HalfClose,
    H2Reset,
}

/// Two hundred clients; afterwards every key answers, and no handler ran twice.
async fn whoever_hangs_up_gets_one_execution(store: StoreKind) {
    let fixture = Fixture::start(store, &["--lease-ms", &LEASE_MS.to_string()]).await;
    let mut random = fastrand::Rng::with_seed(20_261_121);
    for way in [
        HangUp::Fin,
        HangUp::Reset,
        HangUp::HalfClose,
        HangUp::H2Reset,
    ] {
        let clients = (0..TRIES).map(|n| {
            let instant = Duration::from_micros(random.u64(0..(HANDLER_MS + 8) * 1_000));
            hang_up(&fixture, way, format!("{way:?}-{n}"), instant)
        });
        futures_util::future::join_all(clients).await;
    }
    for way in [
        HangUp::Fin,
        HangUp::Reset,
        HangUp::HalfClose,
        HangUp::H2Reset,
    ] {
        for n in 0..TRIES {
            let key = format!("{way:?}-{n}");
            let answered = async {
                eventually(|| async {
                    fixture.post(&path(&key)).key(&key).send().await.status == 201
                })
                .await;
            };
            let bound = Duration::from_millis(LEASE_MS + 1_000);
            assert!(
                timeout(bound, answered).await.is_ok(),
                "{key} is stuck past its lease"
            );
            assert_eq!(fixture.count(&path_only(&key)).await, 1, "{key}");
        }
    }
}

/// A path of its own for each key, so that runs are counted for each.
fn path(key: &str) -> String {
    format!("{}?ms={HANDLER_MS}", path_only(key))
}

fn path_only(key: &str) -> String {
    format!("/v1/slow/{key}")
}

async fn hang_up(fixture: &Fixture, way: HangUp, key: String, instant: Duration) {
    let path = path(&key);
    if matches!(way, HangUp::H2Reset) {
        let h2 = fixture.h2().await;
        // The dropped request is reset; the connection lives on until its task ends.
        let _ = timeout(instant, h2.post(&path).key(&key).try_send()).await;
        return;
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
            let _ = timeout(Duration::from_secs(5), connection.read_to_end()).await;
        }
    }
}

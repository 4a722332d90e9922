//! Expired records go by themselves.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tower_idempotency::{Retention, SweepPolicy};
use tower_idempotency_core::StoreErrorKind;
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{FaultStore, Faults, ManualClock, Verb};

use crate::support::{App, builder, counting, run_paused, send};

const BACKLOG: u64 = 300;
/// By then the first round has begun, whatever its jitter.
const FIRST_ROUND: Duration = Duration::from_secs(13);

/// Starts a sweeper that deletes one record with each batch, beside many that have expired.
async fn with_backlog() -> (App, Faults) {
    let clock = Arc::new(ManualClock::new());
    let memory = MemoryStore::builder().clock(clock.clone()).build().unwrap();
    let store = FaultStore::new(memory);
    let faults = store.faults().clone();
    let mut policy = SweepPolicy::default();
    policy.batch = 1;
    let retention = Duration::from_secs(60);
    let layer = builder(store).retention(Retention::For(retention));
    let (app, _) = counting(&layer.sweep(policy).build().unwrap());
    for n in 0..BACKLOG {
        assert_eq!(send(&app, &format!("k-{n}")).await.status, 201);
    }
    clock.advance(Duration::from_secs(3_600));
    (app, faults)
}

#[test]
fn a_round_goes_on_until_the_backlog_is_gone() {
    run_paused(async {
        let (_app, faults) = with_backlog().await;
        sleep(FIRST_ROUND + Duration::from_secs(10)).await;
        assert_eq!(faults.calls(Verb::Sweep), BACKLOG);
    });
}

#[test]
fn a_sweep_that_failed_is_tried_again_in_the_next_round() {
    run_paused(async {
        let (_app, faults) = with_backlog().await;
        faults.fail_next(Verb::Sweep, 1, StoreErrorKind::Unavailable);
        sleep(FIRST_ROUND).await;
        assert_eq!(faults.calls(Verb::Sweep), 1);
        sleep(Duration::from_secs(90)).await;
        assert_eq!(faults.calls(Verb::Sweep), BACKLOG + 1);
    });
}

#[test]
fn a_sweeper_ends_with_its_layer_in_the_middle_of_a_backlog() {
    run_paused(async {
        let (app, faults) = with_backlog().await;
        while faults.calls(Verb::Sweep) < 2 {
            sleep(Duration::from_millis(1)).await;
        }
        drop(app);
        let calls = faults.calls(Verb::Sweep);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(faults.calls(Verb::Sweep), calls);
    });
}

//! The fault-injecting store, first without and then with faults.

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Fingerprint, IdempotencyKey, RecordId, Retention,
    Scope, Settled, Store, StoreErrorKind, StoredResponse,
};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{FaultStore, Harness, ManualClock, Verb, run};

struct Faulty {
    store: FaultStore<MemoryStore>,
    clock: Arc<ManualClock>,
}

impl Harness for Faulty {
    type Store = FaultStore<MemoryStore>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    async fn damage(&self, _: &RecordId) -> bool {
        false
    }
}

async fn faulty() -> Faulty {
    let clock = Arc::new(ManualClock::new());
    let store = MemoryStore::builder().clock(clock.clone()).build();
    Faulty {
        store: FaultStore::new(store.unwrap()),
        clock,
    }
}

mod without_faults {
    use super::faulty;

    tower_idempotency_testkit::store_conformance!(faulty);
}

fn request() -> ClaimRequest {
    let key = IdempotencyKey::new("k").unwrap();
    ClaimRequest::new(Scope::new("alice", "POST /"), key, Fingerprint::OFF)
}

fn completed() -> Completed {
    let response = StoredResponse::new(http::StatusCode::OK, &http::HeaderMap::new(), "done");
    Completed::new(response, Retention::COMPLETED)
}

#[test]
fn a_refused_call_is_not_made_and_a_lost_answer_is() {
    run(async {
        let store = FaultStore::new(MemoryStore::new());
        let faults = store.faults().clone();
        faults.fail_next(Verb::Claim, 1, StoreErrorKind::Timeout);
        let error = store.claim(&request()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        let lost = request();
        assert!(store.lookup(&lost.id).await.unwrap().is_none());

        faults.lose_acknowledgement_next(Verb::Claim, 1);
        assert!(store.claim(&lost).await.is_err());
        assert!(store.lookup(&lost.id).await.unwrap().is_some());
        assert!(matches!(store.claim(&lost).await, Ok(Claim::Acquired(_))));
        assert_eq!(faults.calls(Verb::Claim), 3);
    });
}

#[test]
fn a_lasting_fault_ends_when_it_is_healed() {
    run(async {
        let store = FaultStore::new(MemoryStore::new());
        let Ok(Claim::Acquired(mut execution)) = store.claim(&request()).await else {
            panic!("a fresh key is acquired");
        };
        store
            .faults()
            .fail_until_healed(Verb::Complete, StoreErrorKind::Unavailable);
        for _ in 0..3 {
            assert!(execution.complete(&completed()).await.is_err());
        }
        store.faults().heal();
        let settled = execution.complete(&completed()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
    });
}

#[test]
fn a_call_waits_at_a_gate_until_it_may_pass() {
    run(async {
        let store = FaultStore::new(MemoryStore::new());
        let gate = store.faults().hold(Verb::Claim);
        let claiming = {
            let store = store.clone();
            tokio::spawn(async move { store.claim(&request()).await.is_ok() })
        };
        gate.arrived().await;
        assert!(store.lookup(&request().id).await.unwrap().is_none());
        gate.pass_one();
        assert!(claiming.await.unwrap());
    });
}

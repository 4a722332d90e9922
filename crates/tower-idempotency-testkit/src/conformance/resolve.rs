//! Keys that an operator resolves.

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::{
    Attempt, ClaimRequest, CrashPolicy, Execution, RecordState, Resolution, Resolved,
};

use super::support::{
    LEASE, PAST_LEASE, PAST_RETENTION, acquire, again, assert_fenced, complete, completed, execute,
    fail, lookup, record, refused, replayed, request, resolve, response,
};
use crate::Harness;

fn held() -> ClaimRequest {
    let mut request = request("k");
    request.crash_policy = CrashPolicy::Hold;
    request
}

fn answer() -> Resolution {
    Resolution::Answer(completed("by hand"))
}

/// A held key that is answered replays that, and its late owner can change nothing.
pub async fn a_held_key_is_answered<H: Harness>(harness: &Arc<H>) {
    let first = held();
    let mut late = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let resolved = resolve(harness.store(), &first.id, &answer()).await;
    assert_eq!(resolved, Resolved::Applied);
    assert_eq!(replayed(harness.store(), &first).await, response("by hand"));
    assert_fenced(harness.store(), &mut late, &first).await;
    harness.advance(PAST_RETENTION).await;
    assert_eq!(lookup(harness.store(), &first).await, None);
}

/// A held key that is freed is as if it had never been claimed.
pub async fn a_held_key_is_freed<H: Harness>(harness: &Arc<H>) {
    let first = held();
    let mut late = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let resolved = resolve(harness.store(), &first.id, &Resolution::Free).await;
    assert_eq!(resolved, Resolved::Applied);
    assert_eq!(lookup(harness.store(), &first).await, None);
    let mut next = acquire(harness.store(), &again(&first)).await;
    assert_eq!(next.attempt(), Attempt::FIRST);
    assert_fenced(harness.store(), &mut late, &first).await;
    complete(&mut next, "next").await;
}

/// A failed key can be answered, so that it is not executed again.
pub async fn a_failed_key_is_answered<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    fail(&mut acquire(harness.store(), &first).await).await;
    let resolved = resolve(harness.store(), &first.id, &answer()).await;
    assert_eq!(resolved, Resolved::Applied);
    let record = record(harness.store(), &first).await;
    assert_eq!(record.info.state, RecordState::Completed);
    assert_eq!(record.info.failure, None);
    assert_eq!(replayed(harness.store(), &first).await, response("by hand"));
}

/// Nobody takes a key away from whoever is at work on it.
pub async fn a_live_lease_is_not_resolved<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut owner = acquire(harness.store(), &first).await;
    let before = record(harness.store(), &first).await;
    for resolution in [answer(), Resolution::Free] {
        let Resolved::Running { remaining } =
            resolve(harness.store(), &first.id, &resolution).await
        else {
            panic!("somebody is at work on the key");
        };
        assert!(remaining > Duration::ZERO && remaining <= LEASE);
    }
    assert_eq!(record(harness.store(), &first).await, before);
    complete(&mut owner, "done").await;
}

/// A kept response stays as it is.
pub async fn a_completed_key_is_not_resolved<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    let before = record(harness.store(), &first).await;
    for resolution in [answer(), Resolution::Free] {
        let resolved = resolve(harness.store(), &first.id, &resolution).await;
        assert_eq!(resolved, Resolved::Completed);
    }
    assert_eq!(record(harness.store(), &first).await, before);
}

/// What is not there, or has expired, cannot be resolved.
pub async fn an_absent_key_is_not_resolved<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    for _ in 0..2 {
        for resolution in [answer(), Resolution::Free] {
            let resolved = resolve(harness.store(), &first.id, &resolution).await;
            assert_eq!(resolved, Resolved::Absent);
        }
        fail(&mut acquire(harness.store(), &first).await).await;
        harness.advance(PAST_RETENTION).await;
    }
    let told = acquire(harness.store(), &again(&first)).await.attempt();
    assert_eq!(told, Attempt::FIRST);
    assert_eq!(
        refused(harness.store(), &again(&first)).await,
        "in progress"
    );
}

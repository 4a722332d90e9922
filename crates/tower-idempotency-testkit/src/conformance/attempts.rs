//! How often a key is executed.

use std::{num::NonZeroU32, sync::Arc};

use tower_idempotency_core::{Attempt, ClaimRequest, Execution, Release, Settled};

use super::support::{
    PAST_LEASE, acquire, again, complete, differing, fail, record, refused, release, replayed,
    request, response,
};
use crate::Harness;

fn at_most(attempts: u32) -> ClaimRequest {
    let mut request = request("k");
    request.max_attempts = NonZeroU32::new(attempts);
    request
}

/// A key whose every attempt failed is not executed again, and nothing of it changes.
pub async fn the_last_failure_exhausts_a_key<H: Harness>(harness: &Arc<H>) {
    let first = at_most(2);
    fail(&mut acquire(harness.store(), &first).await).await;
    let mut second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::new(2, false));
    fail(&mut second).await;
    let before = record(harness.store(), &first).await;
    for _ in 0..2 {
        let told = refused(harness.store(), &again(&first)).await;
        assert_eq!(told, "exhausted");
    }
    let told = refused(harness.store(), &differing(&first)).await;
    assert_eq!(told, "exhausted");
    assert_eq!(record(harness.store(), &first).await, before);
}

/// A key whose last attempt died may have been carried out: it is not taken over.
pub async fn the_last_dead_lease_is_not_taken_over<H: Harness>(harness: &Arc<H>) {
    let first = at_most(2);
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    let mut last = acquire(harness.store(), &again(&first)).await;
    assert_eq!(last.attempt(), Attempt::new(2, true));
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "in progress");
    harness.advance(PAST_LEASE).await;
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "outcome unknown");
    complete(&mut last, "late").await;
    assert_eq!(replayed(harness.store(), &first).await, response("late"));
}

/// The bound is the claim's, so a layer with a higher one goes on.
pub async fn a_higher_bound_goes_on<H: Harness>(harness: &Arc<H>) {
    let first = at_most(1);
    fail(&mut acquire(harness.store(), &first).await).await;
    let told = refused(harness.store(), &again(&first)).await;
    assert_eq!(told, "exhausted");
    let mut more = again(&first);
    more.max_attempts = NonZeroU32::new(2);
    let execution = acquire(harness.store(), &more).await;
    assert_eq!(execution.attempt(), Attempt::new(2, false));
}

/// A key that was freed has all its attempts again.
pub async fn a_freed_key_has_all_its_attempts<H: Harness>(harness: &Arc<H>) {
    let first = at_most(1);
    for _ in 0..3 {
        let mut execution = acquire(harness.store(), &again(&first)).await;
        assert_eq!(execution.attempt(), Attempt::FIRST);
        let settled = release(&mut execution, &Release::Free).await;
        assert_eq!(settled, Settled::Applied);
    }
}

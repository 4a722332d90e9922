//! The results of durable steps, and where an execution's record is.

use std::sync::Arc;

use tower_idempotency_core::{CrashPolicy, Release, Resolution, Resolved, Settled, Standing};

use super::support::{
    PAST_LEASE, PAST_RETENTION, acquire, again, complete, differing, fail, keep_steps, release,
    request, resolve, standing, steps,
};
use crate::Harness;

/// An execution reads what it has kept, the last of it.
pub async fn an_execution_finds_its_own_steps<H: Harness>(harness: &Arc<H>) {
    let execution = acquire(harness.store(), &request("k")).await;
    assert_eq!(steps(&execution).await, None);
    for text in ["{}", "{\"charge\":{\"id\":\"\u{1f40d} \\u0000\"}}"] {
        keep_steps(&execution, text).await;
        assert_eq!(steps(&execution).await.as_deref(), Some(text));
    }
}

/// Whoever takes a key over goes on where the dead execution stopped.
pub async fn a_takeover_finds_the_steps<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    keep_steps(&acquire(harness.store(), &first).await, "charged").await;
    harness.advance(PAST_LEASE).await;
    let second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(steps(&second).await.as_deref(), Some("charged"));
    keep_steps(&second, "charged, sent").await;
    harness.advance(PAST_LEASE).await;
    let third = acquire(harness.store(), &again(&first)).await;
    assert_eq!(steps(&third).await.as_deref(), Some("charged, sent"));
}

/// A failed execution's steps are not done again either.
pub async fn a_failed_execution_leaves_its_steps<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    keep_steps(&execution, "charged").await;
    fail(&mut execution).await;
    let second = acquire(harness.store(), &again(&first)).await;
    assert_eq!(steps(&second).await.as_deref(), Some("charged"));
}

/// The steps of another request are nobody's business.
pub async fn another_request_finds_no_steps<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    keep_steps(&execution, "charged").await;
    fail(&mut execution).await;
    let other = acquire(harness.store(), &differing(&first)).await;
    assert_eq!(steps(&other).await, None);
}

/// A key that begins anew begins without steps.
pub async fn a_key_begun_anew_has_no_steps<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    keep_steps(&execution, "charged").await;
    let settled = release(&mut execution, &Release::Free).await;
    assert_eq!(settled, Settled::Applied);
    let mut execution = acquire(harness.store(), &again(&first)).await;
    assert_eq!(steps(&execution).await, None);
    keep_steps(&execution, "charged").await;
    complete(&mut execution, "done").await;
    harness.advance(PAST_RETENTION).await;
    let mut execution = acquire(harness.store(), &again(&first)).await;
    assert_eq!(steps(&execution).await, None);
    keep_steps(&execution, "charged").await;
    fail(&mut execution).await;
    harness.advance(PAST_RETENTION).await;
    let execution = acquire(harness.store(), &again(&first)).await;
    assert_eq!(steps(&execution).await, None);
}

/// An execution can look where its record is.
pub async fn an_execution_knows_where_it_stands<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.crash_policy = CrashPolicy::Hold;
    let mut execution = acquire(harness.store(), &first).await;
    assert_eq!(standing(&mut execution).await, Standing::InProgress);
    harness.advance(PAST_LEASE).await;
    assert_eq!(standing(&mut execution).await, Standing::InProgress);
    let resolved = resolve(harness.store(), &first.id, &Resolution::Free).await;
    assert_eq!(resolved, Resolved::Applied);
    assert_eq!(standing(&mut execution).await, Standing::Lost);
    let mut next = acquire(harness.store(), &again(&first)).await;
    assert_eq!(standing(&mut execution).await, Standing::Lost);
    complete(&mut next, "done").await;
    assert_eq!(standing(&mut next).await, Standing::Completed);
    assert_eq!(standing(&mut execution).await, Standing::Lost);
}

//! Retention.

use std::{sync::Arc, time::Duration};

use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Completed, Execution, Renewal, Retention, Settled, Store,
};

use super::support::{
    DAY, LEASE, PAST_LEASE, PAST_RETENTION, acquire, again, assert_fenced, claim, complete,
    complete_with, differing, execute, fail, lookup, record, refused, renew, replay, replayed,
    request, response, sweep,
};
use crate::Harness;

/// An expired key is as if it had never been used: another request, attempt 1.
pub async fn a_completed_key_is_absent_after_its_retention<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    execute(store, &first, "old").await;
    harness.advance(DAY * 7 + Duration::from_secs(1)).await;
    assert_eq!(lookup(store, &first).await, None);

    let other = differing(&first);
    let mut second = acquire(store, &other).await;
    assert_eq!(second.attempt(), Attempt::FIRST);
    let begun = record(store, &first).await;
    assert!(begun.response.is_none() && begun.info.status.is_none());
    complete(&mut second, "new").await;
    assert_eq!(replayed(store, &other).await, response("new"));
}

/// A record that was begun anew is as young as that.
pub async fn a_key_begun_anew_has_a_new_age<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    execute(store, &first, "old").await;
    harness.advance(PAST_RETENTION).await;
    let _execution = acquire(store, &again(&first)).await;
    let info = record(store, &first).await.info;
    let lease_end = info.lease_expires_at.expect("a lease has an end");
    assert_eq!(lease_end.duration_since(info.created_at).ok(), Some(LEASE));
}

/// An execution whose record expired has nothing to do with the next one,
/// although both are the first attempt.
pub async fn whoever_expired_cannot_touch_the_next_execution<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let mut abandoned = acquire(store, &first).await;
    harness.advance(DAY + PAST_LEASE).await;
    let mut next = acquire(store, &again(&first)).await;
    assert_eq!(next.attempt(), Attempt::FIRST);
    assert_fenced(store, &mut abandoned, &first).await;

    complete(&mut next, "done").await;
    harness.advance(PAST_RETENTION).await;
    let _last = acquire(store, &again(&first)).await;
    assert_fenced(store, &mut next, &first).await;
}

/// A long execution does not eat up the time for which its response is kept.
pub async fn retention_counts_from_the_end<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    for _ in 0..12 {
        harness.advance(DAY).await;
        assert_eq!(renew(&mut execution).await, Renewal::Renewed);
    }
    complete(&mut execution, "done").await;
    harness.advance(DAY * 7 - Duration::from_secs(5)).await;
    assert_eq!(replayed(harness.store(), &first).await, response("done"));
    harness.advance(Duration::from_secs(6)).await;
    let _execution = acquire(harness.store(), &again(&first)).await;
}

/// A client that goes on retrying does not keep its key alive.
pub async fn replays_do_not_prolong_the_retention<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "done").await;
    for _ in 0..6 {
        harness.advance(DAY).await;
        let _ = replayed(harness.store(), &first).await;
    }
    harness.advance(DAY + Duration::from_secs(1)).await;
    let _execution = acquire(harness.store(), &again(&first)).await;
}

/// `Forever` means it.
pub async fn a_record_kept_for_ever_does_not_expire<H: Harness>(harness: &Arc<H>) {
    let mut first = request("k");
    first.retention = Retention::Forever;
    let mut execution = acquire(harness.store(), &first).await;
    let for_ever = Completed::new(response("done"), Retention::Forever);
    let settled = complete_with(&mut execution, &for_ever).await;
    assert_eq!(settled, Settled::Applied);
    harness.advance(DAY * 36_500).await;
    assert_eq!(sweep(harness.store(), 100).await.deleted, 0);
    assert_eq!(replayed(harness.store(), &first).await, response("done"));
}

/// Whoever keeps a replay for as long as it says keeps it no longer than the store does.
pub async fn a_replay_tells_how_long_its_record_lives<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    execute(store, &first, "done").await;
    let whole = life(store, &first).await;
    let slack = Duration::from_secs(60);
    assert!(whole <= DAY * 7, "{whole:?} of seven days are left");
    assert!(whole > DAY * 7 - slack, "{whole:?} of seven days are left");

    harness.advance(DAY * 3).await;
    let rest = life(store, &first).await;
    assert!(rest <= DAY * 4, "{rest:?} of four days are left");
    assert!(rest > DAY * 4 - slack, "{rest:?} of four days are left");

    harness.advance(rest + Duration::from_millis(1)).await;
    let _execution = acquire(store, &again(&first)).await;
}

/// A record that never expires does not say that it will.
pub async fn a_replay_kept_for_ever_has_no_end<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let mut execution = acquire(harness.store(), &first).await;
    let for_ever = Completed::new(response("done"), Retention::Forever);
    let settled = complete_with(&mut execution, &for_ever).await;
    assert_eq!(settled, Settled::Applied);
    harness.advance(DAY).await;
    let kept = replay(harness.store(), &first).await;
    assert_eq!((kept.response, kept.remaining), (response("done"), None));
}

/// A record without any time left has expired: it is never replayed.
pub async fn a_replay_has_always_some_time_left<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let retention = Duration::from_millis(60);
    for round in 0..4 {
        let first = request(&format!("k-{round}"));
        let mut execution = acquire(store, &first).await;
        let kept = Completed::new(response("done"), Retention::For(retention));
        assert_eq!(complete_with(&mut execution, &kept).await, Settled::Applied);
        let mut before = retention;
        while let Claim::Completed(replay) = claim(store, &again(&first)).await {
            let rest = replay.remaining.expect("the record expires");
            assert!(!rest.is_zero(), "a replay of an expired record");
            assert!(rest <= before, "{before:?} became {rest:?}");
            before = rest;
            harness.advance(Duration::from_millis(1)).await;
        }
    }
}

/// Reads how long a completed record still lives.
async fn life<St: Store>(store: &St, request: &ClaimRequest) -> Duration {
    let remaining = replay(store, request).await.remaining;
    remaining.expect("the record expires")
}

/// The longest time that a setting can hold is no error, and lasts at least a lifetime.
pub async fn the_longest_retention_does_not_overflow<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let longest = Retention::For(Duration::MAX);
    let requests = ["completed", "failed", "abandoned"].map(|key| {
        let mut request = request(key);
        request.retention = longest;
        request.failed_retention = longest;
        request
    });
    let mut executions = Vec::new();
    for request in &requests {
        executions.push(acquire(store, request).await);
    }
    let kept = Completed::new(response("done"), longest);
    let settled = complete_with(&mut executions[0], &kept).await;
    assert_eq!(settled, Settled::Applied);
    fail(&mut executions[1]).await;
    assert_eq!(renew(&mut executions[2]).await, Renewal::Renewed);

    harness.advance(DAY * 36_500).await;
    assert_eq!(sweep(store, 100).await.deleted, 0);
    assert_eq!(replayed(store, &requests[0]).await, response("done"));
    for (request, takeover) in [(&requests[1], false), (&requests[2], true)] {
        let next = acquire(store, &again(request)).await;
        assert_eq!(next.attempt(), Attempt::new(2, takeover));
    }
}

/// A failed key is forgotten after its own, shorter retention.
pub async fn a_failed_key_is_absent_after_its_retention<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    fail(&mut acquire(store, &first).await).await;
    harness.advance(DAY - Duration::from_secs(5)).await;
    assert!(lookup(store, &first).await.is_some());
    harness.advance(Duration::from_secs(6)).await;
    assert_eq!(lookup(store, &first).await, None);
    let second = acquire(store, &again(&first)).await;
    assert_eq!(second.attempt(), Attempt::FIRST);
}

/// An execution that nobody ended is forgotten, too, counted from the end of its lease.
pub async fn an_abandoned_key_is_absent_after_the_failed_retention<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let first = request("k");
    let _dead = acquire(store, &first).await;
    harness.advance(DAY).await;
    let still = lookup(store, &first).await;
    assert!(
        still.is_some(),
        "the retention counts from the end of the lease"
    );
    harness.advance(LEASE + PAST_LEASE).await;
    assert_eq!(lookup(store, &first).await, None);
    let second = acquire(store, &differing(&first)).await;
    assert_eq!(second.attempt(), Attempt::FIRST);
}

/// How long a failed or abandoned key is kept is said by its claim.
pub async fn a_claim_chooses_its_failed_retention<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let hour = Duration::from_secs(60 * 60);
    for (failing, abandoning, retention) in [
        ("failed-short", "dead-short", Retention::For(hour)),
        ("failed-long", "dead-long", Retention::Forever),
    ] {
        let (mut failing, mut abandoning) = (request(failing), request(abandoning));
        failing.failed_retention = retention;
        abandoning.failed_retention = retention;
        fail(&mut acquire(store, &failing).await).await;
        let _dead = acquire(store, &abandoning).await;
    }
    harness.advance(hour + PAST_LEASE).await;
    for key in ["failed-short", "dead-short"] {
        assert_eq!(lookup(store, &request(key)).await, None);
    }
    harness.advance(DAY * 365).await;
    for key in ["failed-long", "dead-long"] {
        assert_eq!(record(store, &request(key)).await.info.attempt, 1);
    }
}

/// A handler may choose how long its response is kept.
pub async fn a_response_can_have_a_retention_of_its_own<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let (short, long) = (request("short"), request("long"));
    for (request, days) in [(&short, 1), (&long, 30)] {
        let mut execution = acquire(store, request).await;
        let completed = Completed::new(response("done"), Retention::For(DAY * days));
        let settled = complete_with(&mut execution, &completed).await;
        assert_eq!(settled, Settled::Applied);
    }
    harness.advance(PAST_RETENTION).await;
    let _ = sweep(store, 100).await;
    assert_eq!(refused(store, &again(&long)).await, "completed");
    let _execution = acquire(store, &again(&short)).await;
}

//! Races, staged with barriers.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use tokio::sync::Barrier;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Execution, Failure, Release, Settled, Store,
};

use super::support::{
    DAY, PAST_LEASE, acquire, again, claim, complete, completed, execute, name, record, replayed,
    request, response,
};
use crate::Harness;

/// How many race.
const RACERS: usize = 64;

/// Of many first claims one wins, and the others see that it runs.
pub async fn one_of_many_claims_wins<H: Harness>(harness: &Arc<H>) {
    assert_eq!(race(harness, &request("k")).await, Attempt::FIRST);
}

/// Of many claims on a lease that has just died, one takes over.
pub async fn one_of_many_takes_a_dead_lease_over<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let _dead = acquire(harness.store(), &first).await;
    harness.advance(PAST_LEASE).await;
    assert_eq!(race(harness, &first).await, Attempt::new(2, true));
}

/// Of many claims on a key that has just expired, one begins anew.
pub async fn one_of_many_claims_an_expired_key<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    execute(harness.store(), &first, "old").await;
    harness.advance(DAY * 8).await;
    assert_eq!(race(harness, &first).await, Attempt::FIRST);
}

/// Of many claims on a failed key, one runs.
pub async fn one_of_many_claims_a_failed_key<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    let release = Release::Failed(Failure::transient("status 500"));
    let settled = acquire(harness.store(), &first)
        .await
        .release(&release)
        .await;
    assert_eq!(settled.expect("the store answers"), Settled::Applied);
    assert_eq!(race(harness, &first).await, Attempt::new(2, false));
}

/// Claims of different keys at once are all acquired.
pub async fn distinct_keys_do_not_hinder_each_other<H: Harness>(harness: &Arc<H>) {
    let requests: Vec<_> = (0..RACERS).map(|n| request(&format!("k-{n}"))).collect();
    let claims = claim_at_once(harness, requests).await;
    assert!(
        claims
            .iter()
            .all(|claim| matches!(claim, Claim::Acquired(_)))
    );
}

/// An owner that completes late and one that takes over cannot both have the key.
pub async fn a_completion_and_a_takeover_have_one_winner<H: Harness>(harness: &Arc<H>) {
    for round in 0..20 {
        let first = request(&format!("k-{round}"));
        let mut late = acquire(harness.store(), &first).await;
        harness.advance(PAST_LEASE).await;
        let barrier = Arc::new(Barrier::new(2));
        let completing = {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                barrier.wait().await;
                late.complete(&completed("late"))
                    .await
                    .expect("the store answers")
            })
        };
        barrier.wait().await;
        let taken = claim(harness.store(), &again(&first)).await;
        let settled = completing.await.expect("the completion does not panic");
        match (settled, taken) {
            (Settled::Applied, Claim::Completed(kept)) => assert_eq!(kept, response("late")),
            (Settled::Stale, Claim::Acquired(mut execution)) => {
                complete(&mut execution, "taken").await;
                assert_eq!(replayed(harness.store(), &first).await, response("taken"));
            }
            (settled, taken) => panic!("{settled:?}, yet the key is {}", name(&taken)),
        }
    }
}

/// Claims and completions go on while the store is swept.
pub async fn sweeping_disturbs_nobody<H: Harness>(harness: &Arc<H>) {
    for n in 0..20 {
        execute(harness.store(), &request(&format!("old-{n}")), "done").await;
    }
    harness.advance(DAY * 8).await;
    let sweeping = {
        let harness = Arc::clone(harness);
        tokio::spawn(async move {
            for _ in 0..20 {
                let _ = harness
                    .store()
                    .sweep(2)
                    .await
                    .expect("a sweep does not fail");
            }
        })
    };
    for n in 0..20 {
        let request = request(&format!("new-{n}"));
        execute(harness.store(), &request, "done").await;
        assert_eq!(replayed(harness.store(), &request).await, response("done"));
    }
    sweeping.await.expect("the sweeper does not panic");
}

/// A claim that is dropped at any point leaves a key that its token can have, or, after the
/// lease, anybody.
pub async fn dropped_claims_leave_the_key_usable<H: Harness>(harness: &Arc<H>) {
    for polls in 0..8 {
        let first = request(&format!("k-{polls}"));
        poll_and_drop(harness.store(), &first, polls).await;
        let _execution = acquire(harness.store(), &first).await;

        let other = request(&format!("other-{polls}"));
        poll_and_drop(harness.store(), &other, polls).await;
        harness.advance(PAST_LEASE).await;
        let mut execution = acquire(harness.store(), &again(&other)).await;
        complete(&mut execution, "done").await;
        assert_eq!(
            record(harness.store(), &other).await.response,
            Some(response("done"))
        );
    }
}

/// Polls a claim a few times and drops it wherever it is.
async fn poll_and_drop<St: Store>(store: &St, request: &ClaimRequest, polls: u64) {
    let mut claiming = pin!(store.claim(request));
    for _ in 0..polls {
        if claiming.as_mut().now_or_never().is_some() {
            return;
        }
        // Lets an answer that is on its way arrive; how far the claim gets does not matter.
        tokio::time::sleep(Duration::from_micros(200 * polls)).await;
    }
}

/// Lets many claim one key at once; returns the attempt of the one that wins.
async fn race<H: Harness>(harness: &Arc<H>, request: &ClaimRequest) -> Attempt {
    let requests = (0..RACERS).map(|_| again(request)).collect();
    let claims = claim_at_once(harness, requests).await;
    let mut winners = Vec::new();
    for claim in claims {
        match claim {
            Claim::Acquired(execution) => winners.push(execution),
            other => assert_eq!(name(&other), "in progress"),
        }
    }
    assert_eq!(winners.len(), 1, "exactly one claim wins");
    let attempt = winners[0].attempt();
    complete(&mut winners[0], "winner").await;
    assert_eq!(replayed(harness.store(), request).await, response("winner"));
    attempt
}

async fn claim_at_once<H: Harness>(
    harness: &Arc<H>,
    requests: Vec<ClaimRequest>,
) -> Vec<Claim<<H::Store as Store>::Execution>> {
    let barrier = Arc::new(Barrier::new(requests.len()));
    let claims = requests.into_iter().map(|request| {
        let (harness, barrier) = (Arc::clone(harness), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            claim(harness.store(), &request).await
        })
    });
    let claims = join_all(claims).await;
    claims
        .into_iter()
        .map(|claim| claim.expect("a claim does not panic"))
        .collect()
}

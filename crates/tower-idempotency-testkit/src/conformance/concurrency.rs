//! Races, staged with barriers.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use tokio::sync::Barrier;
use tower_idempotency_core::{
    Attempt, Claim, ClaimRequest, Execution, Release, Renewal, Settled, Store,
};

use super::support::{
    PAST_LEASE, PAST_RETENTION, acquire, again, claim, complete, complete_with, completed, execute,
    fail, failed, name, record, release, renew, replayed, request, response, sweep,
};
use crate::Harness;

/// How many race for one key.
const RACERS: usize = 64;
/// How often two race, since one round may miss the moment.
const ROUNDS: usize = 20;

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
    harness.advance(PAST_RETENTION).await;
    assert_eq!(race(harness, &first).await, Attempt::FIRST);
}

/// Of many claims on a failed key, one runs.
pub async fn one_of_many_claims_a_failed_key<H: Harness>(harness: &Arc<H>) {
    let first = request("k");
    fail(&mut acquire(harness.store(), &first).await).await;
    assert_eq!(race(harness, &first).await, Attempt::new(2, false));
}

/// Claims of different keys at once are all acquired.
pub async fn distinct_keys_do_not_hinder_each_other<H: Harness>(harness: &Arc<H>) {
    let requests: Vec<_> = (0..RACERS).map(|n| request(&format!("k-{n}"))).collect();
    let claims = claim_at_once(harness, requests).await;
    let acquired = |claim: &Claim<_>| matches!(claim, Claim::Acquired(_));
    assert!(claims.iter().all(acquired));
}

/// A claim that is tried again while its first try is still on its way is one claim.
pub async fn one_token_claims_once_however_often_it_asks<H: Harness>(harness: &Arc<H>) {
    for round in 0..ROUNDS {
        let first = request(&format!("k-{round}"));
        for claim in claim_at_once(harness, vec![first.clone(); 8]).await {
            match claim {
                Claim::Acquired(execution) => assert_eq!(execution.attempt(), Attempt::FIRST),
                other => panic!("its own claim is {}", name(&other)),
            }
        }
        assert_eq!(record(harness.store(), &first).await.info.attempt, 1);
    }
}

/// An owner that completes late and one that takes over cannot both have the key.
pub async fn a_completion_and_a_takeover_have_one_winner<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for round in 0..ROUNDS {
        let first = request(&format!("k-{round}"));
        let mut late = acquire(store, &first).await;
        harness.advance(PAST_LEASE).await;
        let completing = async move { complete_with(&mut late, &completed("late")).await };
        match against_a_claim(harness, completing, &again(&first)).await {
            (Settled::Applied, Claim::Completed(kept)) => {
                assert_eq!(kept.response, response("late"));
            }
            // A store may count a row that is just being completed as in progress.
            (Settled::Applied, Claim::InProgress { .. }) => {
                assert_eq!(replayed(store, &first).await, response("late"));
            }
            (Settled::Stale, Claim::Acquired(mut execution)) => {
                complete(&mut execution, "taken").await;
                assert_eq!(replayed(store, &first).await, response("taken"));
            }
            (settled, taken) => panic!("{settled:?}, yet the key is {}", name(&taken)),
        }
    }
}

/// Neither can an owner that renews late.
pub async fn a_renewal_and_a_takeover_have_one_winner<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for round in 0..ROUNDS {
        let first = request(&format!("k-{round}"));
        let mut late = acquire(store, &first).await;
        harness.advance(PAST_LEASE).await;
        let renewing = async move { (renew(&mut late).await, late) };
        let ((renewal, mut late), taken) = against_a_claim(harness, renewing, &again(&first)).await;
        match (renewal, taken) {
            (Renewal::Renewed, Claim::InProgress { .. }) => complete(&mut late, "done").await,
            (Renewal::Lost, Claim::Acquired(mut execution)) => {
                let settled = complete_with(&mut late, &completed("stale")).await;
                assert_eq!(settled, Settled::Stale);
                complete(&mut execution, "done").await;
            }
            (renewal, taken) => panic!("{renewal:?}, yet the key is {}", name(&taken)),
        }
        assert_eq!(replayed(store, &first).await, response("done"));
    }
}

/// A claim that comes as a key is given up either finds it running or has it.
pub async fn a_release_and_a_claim_do_not_mix<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for round in 0..ROUNDS {
        let first = request(&format!("k-{round}"));
        let mut owner = acquire(store, &first).await;
        let (verb, next) = match round % 2 {
            0 => (failed(), Attempt::new(2, false)),
            _ => (Release::Free, Attempt::FIRST),
        };
        let releasing = async move { release(&mut owner, &verb).await };
        let (settled, claimed) = against_a_claim(harness, releasing, &again(&first)).await;
        assert_eq!(settled, Settled::Applied);
        let mut execution = match claimed {
            Claim::Acquired(execution) => execution,
            Claim::InProgress { .. } => acquire(store, &again(&first)).await,
            other => panic!("a released key is {}", name(&other)),
        };
        assert_eq!(execution.attempt(), next);
        complete(&mut execution, "done").await;
        assert_eq!(replayed(store, &first).await, response("done"));
    }
}

/// A sweeper that has seen an expired record does not delete the one that took its place.
pub async fn a_sweep_spares_a_key_that_is_begun_anew<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for round in 0..ROUNDS {
        let first = request(&format!("k-{round}"));
        execute(store, &first, "old").await;
        harness.advance(PAST_RETENTION).await;
        let sweeping = {
            let harness = Arc::clone(harness);
            async move { sweep(harness.store(), 100).await }
        };
        let (_, claimed) = against_a_claim(harness, sweeping, &again(&first)).await;
        let mut execution = match claimed {
            Claim::Acquired(execution) => execution,
            // A store may be unable to take a row that is just being deleted.
            Claim::InProgress { .. } => acquire(store, &again(&first)).await,
            other => panic!("an expired key is {}", name(&other)),
        };
        assert_eq!(execution.attempt(), Attempt::FIRST);
        complete(&mut execution, "new").await;
        assert_eq!(replayed(store, &first).await, response("new"));
    }
}

/// Claims and completions go on while the store is swept.
pub async fn sweeping_disturbs_nobody<H: Harness>(harness: &Arc<H>) {
    for n in 0..20 {
        execute(harness.store(), &request(&format!("old-{n}")), "done").await;
    }
    harness.advance(PAST_RETENTION).await;
    let sweeping = {
        let harness = Arc::clone(harness);
        tokio::spawn(async move {
            for _ in 0..20 {
                let _ = sweep(harness.store(), 2).await;
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
        let mut execution = acquire_later(harness, &other).await;
        complete(&mut execution, "done").await;
        let kept = record(harness.store(), &other).await.response;
        assert_eq!(kept, Some(response("done")));
    }
}

/// Claims a key once its lease is over. A server may carry a dropped claim out a moment later,
/// and its lease begins only then.
async fn acquire_later<H: Harness>(
    harness: &Arc<H>,
    request: &ClaimRequest,
) -> <H::Store as Store>::Execution {
    for _ in 0..2 {
        harness.advance(PAST_LEASE).await;
        if let Claim::Acquired(execution) = claim(harness.store(), &again(request)).await {
            return execution;
        }
    }
    harness.advance(PAST_LEASE).await;
    acquire(harness.store(), &again(request)).await
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

/// Lets a rival act and claims the key at the same time; returns what both came to.
async fn against_a_claim<H: Harness, T: Send + 'static>(
    harness: &Arc<H>,
    rival: impl Future<Output = T> + Send + 'static,
    request: &ClaimRequest,
) -> (T, Claim<<H::Store as Store>::Execution>) {
    let barrier = Arc::new(Barrier::new(2));
    let rival = {
        let barrier = Arc::clone(&barrier);
        tokio::spawn(async move {
            barrier.wait().await;
            rival.await
        })
    };
    barrier.wait().await;
    let claimed = claim(harness.store(), request).await;
    (rival.await.expect("the rival does not panic"), claimed)
}

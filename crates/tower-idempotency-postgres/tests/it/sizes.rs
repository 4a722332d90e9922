//! How large the futures of the usual way are. Every request has them on the heap, and what is
//! larger than about a kilobyte leaves the allocator's cache.

use crate::support::{completed, postgres, request};
use tower_idempotency_core::{Claim, Execution, Store};

const SMALL: usize = 700;

#[tokio::test]
async fn the_futures_of_claim_and_completion_are_small() {
    let postgres = postgres().await;
    let request = request("small");
    let claim = postgres.store.claim(&request);
    assert!(size_of_val(&claim) <= SMALL, "{}", size_of_val(&claim));
    let Claim::Acquired(mut execution) = claim.await.unwrap() else {
        panic!("a new key is free");
    };
    let completed = completed(200);
    let complete = execution.complete(&completed);
    assert!(
        size_of_val(&complete) <= SMALL,
        "{}",
        size_of_val(&complete)
    );
}

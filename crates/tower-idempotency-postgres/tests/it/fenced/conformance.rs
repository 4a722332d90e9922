//! The published suite, with claims that do not wait for the disk.

use tower_idempotency_postgres::ClaimDurability;

use super::through::{Through, ThroughStore};
use crate::support::postgres;

async fn relaxed() -> Through {
    let postgres = postgres().await;
    let builder = postgres.store.clone().fenced_builder();
    let store = builder.claim_durability(ClaimDurability::WithTheCommit);
    Through {
        store: ThroughStore {
            store: store.build(),
            pool: postgres.pool.clone(),
        },
        postgres,
    }
}

tower_idempotency_testkit::store_conformance!(relaxed);

//! The published suite, as far as it holds for transactions.

use std::time::Duration;

use tower_idempotency_core::RecordId;
use tower_idempotency_postgres::TransactionalStore;
use tower_idempotency_testkit::Harness;

use super::support::{Bench, over};
use crate::support::{pool, postgres};

impl Harness for Bench {
    type Store = TransactionalStore;

    fn store(&self) -> &TransactionalStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        self.postgres.advance(by).await;
    }

    async fn damage(&self, id: &RecordId) -> bool {
        self.postgres.damage(id).await
    }
}

async fn roomy() -> Bench {
    let postgres = postgres().await;
    let pool = pool(&postgres.options, 16).await;
    over(postgres, pool, Duration::from_secs(5), |builder| builder).await
}

tower_idempotency_testkit::transactional_conformance!(roomy);

//! The published suite.

use crate::support::postgres;

tower_idempotency_testkit::store_conformance!(postgres);

/// Without batches.
mod alone {
    use tower_idempotency_postgres::PostgresStore;

    use crate::support::{Postgres, postgres};

    async fn alone() -> Postgres {
        let mut postgres = postgres().await;
        let builder = PostgresStore::builder(postgres.pool.clone());
        postgres.store = builder.batch_connections(0).build().unwrap();
        postgres
    }

    tower_idempotency_testkit::store_conformance!(alone);
}

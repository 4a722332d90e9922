//! The published suite behind a pooler that gives each transaction another connection.

mod leased {
    use crate::{
        pooler::support::{behind, shared},
        support::Postgres,
    };

    async fn pooled() -> Postgres {
        behind(shared()).await
    }

    tower_idempotency_testkit::store_conformance!(pooled);
}

mod transactional {
    use std::time::Duration;

    use tower_idempotency_postgres::{Pooling, PostgresStore};

    use crate::{
        pooler::support::{behind, options, pool, roomy},
        transactional::support::Bench,
    };

    async fn pooled() -> Bench {
        let postgres = behind(roomy()).await;
        let pool = pool(options(roomy()), 16).await;
        let store = PostgresStore::builder(pool.clone())
            .schema(&*postgres.schema)
            .operation_timeout(Duration::from_secs(5))
            .pooling(Pooling::Transaction);
        Bench {
            store: store.build().unwrap().transactional(),
            postgres,
            pool,
        }
    }

    tower_idempotency_testkit::transactional_conformance!(pooled);
}

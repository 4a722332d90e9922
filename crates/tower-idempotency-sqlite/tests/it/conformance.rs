//! The published suite.

use crate::support::sqlite;

tower_idempotency_testkit::store_conformance!(sqlite);

/// Without batches.
mod alone {
    use crate::support::{Sqlite, sqlite_with};

    async fn alone() -> Sqlite {
        sqlite_with(|builder| builder.batching(false)).await
    }

    tower_idempotency_testkit::store_conformance!(alone);
}

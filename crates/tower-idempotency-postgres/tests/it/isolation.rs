//! The suite again, on connections whose defaults are unusual.

mod serializable {
    use crate::support::{Postgres, with_options};

    async fn postgres() -> Postgres {
        with_options(&[("default_transaction_isolation", "serializable")]).await
    }

    tower_idempotency_testkit::store_conformance!(postgres);
}

mod far_west {
    use crate::support::{Postgres, with_options};

    async fn postgres() -> Postgres {
        with_options(&[("TimeZone", "America/Los_Angeles")]).await
    }

    tower_idempotency_testkit::store_conformance!(postgres);
}

//! Claims that go alone, between whose statements the record can change.

use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_testkit::run;

use crate::support::{acquire, complete, postgres, request};

/// Lets every insert, even one of nothing, take completed records away before it commits.
const TAKE_AWAY: &str = "
    CREATE FUNCTION take_away() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM idempotency_keys WHERE response_status IS NOT NULL;
        RETURN NULL;
    END $$;
    CREATE TRIGGER take_away AFTER INSERT ON idempotency_keys
        FOR EACH STATEMENT EXECUTE FUNCTION take_away()";

#[test]
fn a_record_that_goes_before_a_claim_can_read_it_is_made_anew() {
    run(async {
        // By a lane, and by a connection of the pool.
        for lanes in [1, 0] {
            let postgres = postgres().await;
            let builder = PostgresStore::builder(postgres.pool.clone());
            let store = builder.batch_connections(lanes).build().unwrap();
            complete(&mut acquire(&store, &request("k")).await).await;
            postgres.execute(TAKE_AWAY).await;
            let _execution = acquire(&store, &request("k")).await;
            let records = "SELECT FROM idempotency_keys WHERE lease_expires_at IS NOT NULL";
            assert_eq!(postgres.execute(records).await, 1);
        }
    });
}

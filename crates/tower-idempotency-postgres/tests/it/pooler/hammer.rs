//! Many clients on few server connections.

use futures_util::future::join_all;
use tower_idempotency_core::{Claim, Execution, Release, Renewal, Settled, Store};
use tower_idempotency_postgres::{Pooling, PostgresStore};
use tower_idempotency_testkit::run;

use super::support::{behind, options, pool, pooler, store};
use crate::support::{completed, request};

const CLIENTS: u32 = 16;
const ROUNDS: u32 = 40;
const KEYS: u32 = 60;

/// Does everything that a store is asked, and returns how many keys it has completed.
async fn work(store: &PostgresStore, client: u32) -> u32 {
    let mut done = 0;
    for round in 0..ROUNDS {
        let request = request(&format!("k-{}", (client * 7 + round) % KEYS));
        match store.claim(&request).await.unwrap() {
            Claim::Acquired(mut execution) => {
                assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
                let settled = if round % 5 == 0 {
                    execution.release(&Release::Free).await.unwrap()
                } else {
                    done += 1;
                    execution.complete(&completed(300)).await.unwrap()
                };
                assert_eq!(settled, Settled::Applied);
            }
            Claim::InProgress { .. } | Claim::Completed(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
        let _ = store.lookup(&request.id).await.unwrap();
        let _ = store.ended(&[request.id]).await.unwrap();
        let _ = store.sweep(10).await.unwrap();
    }
    done
}

async fn hammer(pooling: Pooling, settings: &[(&str, &str)]) {
    let Some(pooler) = pooler(settings) else {
        return;
    };
    let postgres = behind(Some(&pooler)).await;
    let clients = (0..CLIENTS).map(|client| {
        let (postgres, options) = (&postgres, options(Some(&pooler)));
        async move {
            // A pool of its own, as each process of a fleet has.
            let store = store(postgres, pool(options, 1).await, pooling);
            work(&store, client).await
        }
    });
    let done: u32 = join_all(clients).await.into_iter().sum();
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM idempotency_keys WHERE response_status IS NOT NULL",
    )
    .fetch_one(&postgres.pool)
    .await
    .unwrap();
    assert!(done > 0);
    assert_eq!(
        kept,
        i64::from(done),
        "a key was completed twice, or a completion lost"
    );
}

#[test]
fn many_clients_on_four_server_connections_meet_no_error() {
    run(hammer(Pooling::Transaction, &[]));
}

#[test]
fn many_clients_of_a_pooler_that_keeps_track_of_statements_meet_no_error() {
    let version = super::support::version();
    if version.is_some_and(|version| version >= (1, 21)) {
        run(hammer(
            Pooling::TransactionWithPreparedStatements,
            &[("max_prepared_statements", "100")],
        ));
    }
}

//! A record's place is a hint: completions are right wherever the row is.

use futures_util::future::join_all;
use tower_idempotency_core::{Execution, Settled};
use tower_idempotency_postgres::{PostgresExecution, PostgresStore};
use tower_idempotency_testkit::run;

use crate::support::{Postgres, acquire, behind, completed, postgres, request, store};

/// Has one execution complete by itself, and two in a batch.
async fn complete_all(
    postgres: &Postgres,
    store: &PostgresStore,
    [alone, together @ ..]: &mut [PostgresExecution; 3],
) -> Vec<Settled> {
    let response = completed(200);
    let mut first = acquire(store, &request("first")).await;
    let in_batch = join_all(together.iter_mut().map(|it| it.complete(&response)));
    let mut settled = behind(postgres, first.renew(), in_batch).await;
    settled.push(alone.complete(&response).await);
    settled.into_iter().map(Result::unwrap).collect()
}

async fn acquire_all(store: &PostgresStore, names: [&str; 3]) -> [PostgresExecution; 3] {
    let [a, b, c] = names.map(request);
    [
        acquire(store, &a).await,
        acquire(store, &b).await,
        acquire(store, &c).await,
    ]
}

async fn places(postgres: &Postgres) -> Vec<String> {
    let sql = "SELECT ctid::text FROM idempotency_keys ORDER BY ctid";
    let places = sqlx::query_scalar(sql).fetch_all(&postgres.pool).await;
    places.unwrap()
}

#[test]
fn a_row_that_somebody_has_moved_is_completed_where_it_is() {
    run(async {
        let postgres = postgres().await;
        let store = store(&postgres, 1);
        let mut executions = acquire_all(&store, ["a", "b", "c"]).await;
        let before = places(&postgres).await;
        postgres
            .execute("UPDATE idempotency_keys SET route = route")
            .await;
        let after = places(&postgres).await;
        assert!(before.iter().all(|place| !after.contains(place)));
        let settled = complete_all(&postgres, &store, &mut executions).await;
        assert_eq!(settled, [Settled::Applied; 3]);
    });
}

#[test]
fn a_place_that_is_another_records_by_now_is_left_alone() {
    run(async {
        let postgres = postgres().await;
        let store = store(&postgres, 1);
        let mut gone = acquire_all(&store, ["a", "b", "c"]).await;
        let before = places(&postgres).await;
        postgres.execute("TRUNCATE idempotency_keys").await;
        let mut next = acquire_all(&store, ["d", "e", "f"]).await;
        assert_eq!(places(&postgres).await, before);
        let settled = complete_all(&postgres, &store, &mut gone).await;
        assert_eq!(settled, [Settled::Stale; 3]);
        for execution in &mut next {
            let settled = execution.complete(&completed(200)).await;
            assert_eq!(settled.unwrap(), Settled::Applied);
        }
    });
}

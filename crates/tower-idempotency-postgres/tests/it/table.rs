//! What the table itself refuses, and what it costs.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::PgPool;
use tower_idempotency_core::{
    CrashPolicy, Execution, ListPage, RecordState, Renewal, Store, StoreErrorKind,
};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_testkit::{Harness, run};

use crate::support::{acquire, complete, pool, postgres, request, statistics};

/// Also of rows that no execution can produce.
#[test]
fn every_row_says_one_thing() {
    run(async {
        let postgres = postgres().await;
        let _execution = acquire(&postgres.store, &request("k")).await;
        let id = request("k").id;
        for (change, expected) in [
            ("ended_at = created_at", RecordState::InProgress),
            (
                "ended_at = created_at, response_status = 200",
                RecordState::InProgress,
            ),
            ("lease_expires_at = NULL", RecordState::Completed),
            ("ended_at = NULL", RecordState::Completed),
            ("response_status = NULL", RecordState::Failed),
        ] {
            let sql = format!("UPDATE idempotency_keys SET {change}");
            postgres.execute(&sql).await;
            let mut page = ListPage::default();
            page.state = Some(expected);
            let listed = postgres.store.list(&page).await.unwrap();
            let states: Vec<_> = listed.iter().map(|info| info.state).collect();
            assert_eq!(states, [expected], "{change}");
            assert_eq!(listed[0].id, id);
        }
        // Nobody is at work on it.
        let _next = acquire(&postgres.store, &request("k")).await;
    });
}

#[test]
fn a_response_whose_status_was_tampered_with_is_unreadable() {
    run(async {
        let postgres = postgres().await;
        complete(&mut acquire(&postgres.store, &request("k")).await).await;
        postgres
            .execute("UPDATE idempotency_keys SET response_status = 7")
            .await;
        let error = postgres.store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unreadable);
    });
}

/// A completion that is not HOT writes every index again and leaves the table bloated.
#[test]
fn completing_and_renewing_touch_no_index() {
    run(async {
        let postgres = postgres().await;
        let pool = pool(&postgres.options, 1).await;
        let store = PostgresStore::new(pool.clone());
        for n in 0..50 {
            let mut execution = acquire(&store, &request(&format!("k-{n}"))).await;
            assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
            complete(&mut execution).await;
        }
        // A connection that ends hands its statistics in.
        drop(store);
        let (updated, hot) = updates(&pool, 100).await;
        assert_eq!(updated, 100);
        assert!(hot >= 90, "{hot} of {updated} updates were HOT");
    });
}

/// A page has to have room for the second version of each row that came to it with a batch.
#[test]
fn completing_many_at_once_touches_no_index() {
    run(async {
        let postgres = postgres().await;
        let pool = pool(&postgres.options, 2).await;
        let store = PostgresStore::builder(pool.clone());
        let store = store.batch_connections(1).build().unwrap();
        for round in 0..4 {
            let requests: Vec<_> = (0..50)
                .map(|n| request(&format!("k-{round}-{n}")))
                .collect();
            let claims = requests.iter().map(|request| acquire(&store, request));
            let mut executions = join_all(claims).await;
            join_all(executions.iter_mut().map(complete)).await;
        }
        drop(store);
        let (updated, hot) = updates(&pool, 200).await;
        assert!(
            hot * 100 >= updated * 95,
            "{hot} of {updated} updates were HOT"
        );
    });
}

async fn updates(pool: &PgPool, number: i64) -> (i64, i64) {
    let sql = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
               WHERE relid = 'idempotency_keys'::regclass";
    statistics(pool, sql, number).await
}

/// To make the file shorter, the server locks everybody out. Whether it would do so at once depends
/// on who else is there, so this looks at what it was told.
#[test]
fn a_vacuum_is_not_to_shorten_the_file() {
    run(async {
        let postgres = postgres().await;
        let told = "SELECT FROM pg_class WHERE oid = 'idempotency_keys'::regclass
                    AND 'vacuum_truncate=false' = ANY (reloptions)";
        assert_eq!(postgres.execute(told).await, 1);
    });
}

/// Records that live longer than the sweeper expected must not be looked at again and again.
#[test]
fn a_record_that_lives_on_is_looked_at_once() {
    run(async {
        let postgres = postgres().await;
        let mut held = request("held");
        held.crash_policy = CrashPolicy::Hold;
        let _held = acquire(&postgres.store, &held).await;
        postgres
            .advance(Duration::from_secs(8 * 24 * 60 * 60))
            .await;
        let waiting = "SELECT FROM idempotency_keys WHERE sweep_at <= clock_timestamp()";
        assert_eq!(postgres.execute(waiting).await, 1);
        assert_eq!(postgres.store.sweep(10).await.unwrap().deleted, 0);
        assert_eq!(postgres.execute(waiting).await, 0);
        assert!(postgres.store.lookup(&held.id).await.unwrap().is_some());
    });
}

#[test]
fn nothing_that_identifies_a_request_but_its_key_and_scope_is_kept() {
    run(async {
        let postgres = postgres().await;
        complete(&mut acquire(&postgres.store, &request("k")).await).await;
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT attname::text FROM pg_attribute
             WHERE attrelid = 'idempotency_keys'::regclass AND attnum > 0
               AND atttypid IN ('text'::regtype, 'bytea'::regtype) ORDER BY attname",
        )
        .fetch_all(&postgres.pool)
        .await
        .unwrap();
        let known = [
            "failure_category",
            "failure_error",
            "fingerprint",
            "id",
            "key",
            "namespace",
            "principal",
            "response_body",
            "response_head",
            "route",
            // What the handler itself returned from its steps.
            "steps",
        ];
        assert_eq!(columns, known);
    });
}

//! Creating the table, again and at once, and the plans of its statements.

use futures_util::future::join_all;
use tower_idempotency_inbox::InboxErrorKind;

use crate::support::{Database, Handler, Pool, all, deliver, on_each, postgres, router};

async fn indexes(database: &Database) -> i64 {
    let sql = match database.pool {
        Pool::Postgres { .. } => {
            "SELECT count(*) FROM pg_indexes
             WHERE schemaname = current_schema() AND tablename = 'webhook_deliveries'"
        }
        Pool::Sqlite { .. } => {
            "SELECT count(*) FROM sqlite_schema
             WHERE type = 'index' AND tbl_name = 'webhook_deliveries'"
        }
    };
    database.count(sql).await
}

#[test]
fn migrating_again_and_at_once_makes_nothing_twice() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let router = router(&inbox, &Handler::default());
        deliver(&router, Some("k"), "one").await;
        let before = indexes(&database).await;
        let again = join_all((0..5).map(|_| database.deliveries.migrate())).await;
        assert!(again.iter().all(Result::is_ok), "{again:?}");
        // The primary key's and five of our own.
        assert_eq!((before, indexes(&database).await), (6, 6));
        assert_eq!(all(&inbox).await.len(), 1);
    });
}

#[test]
fn an_index_that_fails_is_an_error() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let router = router(&inbox, &Handler::default());
        let drop_index = "DROP INDEX webhook_deliveries_trigger_id_key";
        deliver(&router, Some("a"), "one").await;
        deliver(&router, Some("b"), "two").await;
        database.execute(drop_index).await.unwrap();
        let double = "UPDATE webhook_deliveries SET key = 'same'";
        database.execute(double).await.unwrap();
        let error = database.deliveries.migrate().await.unwrap_err();
        assert_eq!(error.kind(), InboxErrorKind::Integrity);
    });
}

/// `IF NOT EXISTS` would be content with it, and duplicates would run.
#[test]
fn another_index_of_that_name_is_an_error() {
    on_each(async |database| {
        let (drop_index, other) = (
            "DROP INDEX webhook_deliveries_trigger_id_key",
            "CREATE INDEX webhook_deliveries_trigger_id_key ON webhook_deliveries (trigger_id)",
        );
        database.execute(drop_index).await.unwrap();
        database.execute(other).await.unwrap();
        let error = database.deliveries.migrate().await.unwrap_err();
        assert_eq!(error.kind(), InboxErrorKind::Schema);
    });
}

#[test]
fn a_missing_index_refuses_deliveries_instead_of_running_them_twice() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default();
        let router = router(&inbox, &handler);
        let drop_index = "DROP INDEX webhook_deliveries_trigger_id_key";
        database.execute(drop_index).await.unwrap();
        assert_eq!(deliver(&router, Some("k"), "one").await.status, 503);
        assert_eq!(handler.calls(), 0);
    });
}

#[test]
fn duplicates_are_found_by_the_index_and_due_deliveries_by_theirs() {
    tower_idempotency_testkit::run(async {
        let database = postgres().await;
        let Pool::Postgres { pool, .. } = &database.pool else {
            panic!("not Postgres");
        };
        let fill = "INSERT INTO webhook_deliveries
                (id, trigger_id, key, method, target, head, body, state, attempts,
                 attempts_allowed, received_at, ended_at)
            SELECT gen_random_uuid(), 't', n::text, 'POST', '/', '\\x01', '', 'succeeded', 1, 3,
                   clock_timestamp(), clock_timestamp()
            FROM generate_series(1, 20000) AS n";
        database.execute(fill).await.unwrap();
        for (statistics, refresh) in [("never analysed", "SELECT 1"), ("analysed", "ANALYZE")] {
            database.execute(refresh).await.unwrap();
            for (prefix, index) in [
                ("SELECT id::text FROM", "webhook_deliveries_trigger_id_key"),
                (
                    "UPDATE webhook_deliveries\nSET attempts",
                    "webhook_deliveries_next_attempt_at",
                ),
            ] {
                let plan = plan_of(pool, &database, prefix).await;
                assert!(plan.contains(index), "{statistics}:\n{plan}");
                assert!(!plan.contains("Seq Scan"), "{statistics}:\n{plan}");
            }
        }
    });
}

/// Explains a statement as the inbox has prepared it.
///
/// Connections can leave the pool with what they have prepared: the store of leases takes some.
async fn plan_of(pool: &sqlx::PgPool, database: &Database, prefix: &str) -> String {
    for n in 0..10 {
        let plans = plans_after_delivery(pool, database, prefix, &format!("explained-{n}")).await;
        if !plans.is_empty() {
            return plans.join("\n\n");
        }
    }
    panic!("nobody has prepared {prefix}")
}

async fn plans_after_delivery(
    pool: &sqlx::PgPool,
    database: &Database,
    prefix: &str,
    key: &str,
) -> Vec<String> {
    use sqlx::{AssertSqlSafe, Row};

    // All its connections are used here, so that each has prepared it or prepares it again.
    let inbox = database.inbox().build().unwrap();
    let router = router(&inbox, &Handler::default().answering("one", &[503]));
    let worker = crate::support::start(&inbox, &router);
    deliver(&router, Some(key), "one").await;
    let retried =
        format!("SELECT count(*) FROM webhook_deliveries WHERE key = '{key}' AND attempts > 1");
    crate::support::until("a retry", async || database.count(&retried).await == 1).await;
    worker.stop().await;
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(pool.acquire().await.unwrap());
    }
    let mut plans = Vec::new();
    for connection in &mut connections {
        let generic = "SET plan_cache_mode = force_generic_plan";
        sqlx::raw_sql(generic)
            .execute(&mut **connection)
            .await
            .unwrap();
        let prepared: Vec<(String, i32)> = sqlx::query_as(
            "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements
             WHERE ltrim(statement, E'\\n') LIKE $1 || '%'",
        )
        .bind(prefix)
        .fetch_all(&mut **connection)
        .await
        .unwrap();
        for (name, parameters) in prepared {
            let nulls = vec!["NULL"; parameters.unsigned_abs() as usize].join(", ");
            let sql = format!("EXPLAIN EXECUTE {name} ({nulls})");
            let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut **connection);
            let rows = rows.await.unwrap();
            let lines = rows.iter().map(|row| row.get::<String, _>(0));
            plans.push(lines.collect::<Vec<_>>().join("\n"));
        }
    }
    plans
}

//! Claims and sweeps are index look-ups, whatever the statistics say.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Executor, Row};
use tower_idempotency_core::{
    Claim, Execution, Failure, Release, Renewal, Resolution, Settled, Steps, Store,
};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_testkit::run;

use crate::support::{
    Postgres, acquire, behind, complete, completed, pool, postgres, request, statistics, store,
};

/// Lets the store prepare all its statements on its only connection.
async fn exercise(store: &PostgresStore) {
    let mut execution = acquire(store, &request("plan")).await;
    let _ = execution.renew().await.unwrap();
    let _ = execution.standing().await.unwrap();
    let _ = execution.steps().load().await.unwrap();
    let _ = execution.steps().keep(&Steps::from("{}")).await.unwrap();
    let settled = execution.release(&Release::Free).await.unwrap();
    assert_eq!(settled, Settled::Applied);
    let mut execution = acquire(store, &request("plan")).await;
    let failed = Release::Failed(Failure::transient("status 500"));
    let settled = execution.release(&failed).await.unwrap();
    assert_eq!(settled, Settled::Applied);
    let mut execution = acquire(store, &request("plan")).await;
    complete(&mut execution).await;
    let id = request("plan").id;
    let _ = store.ended(&[id]).await.unwrap();
    let _ = store.resolve(&id, &Resolution::Free).await.unwrap();
    let answer = Resolution::Answer(completed(200));
    let _ = store.resolve(&id, &answer).await.unwrap();
    assert!(store.lookup(&request("plan").id).await.unwrap().is_some());
    let _ = store.sweep(10).await.unwrap();
    clear(store).await;
    exercise_transactions(store).await;
    clear(store).await;
}

async fn clear(store: &PostgresStore) {
    sqlx::raw_sql("DELETE FROM idempotency_keys WHERE key = 'plan'")
        .execute(store.pool())
        .await
        .unwrap();
}

/// The same for the transactional mode, where the statements beside the transaction can run on the
/// only connection once the transaction has ended.
async fn exercise_transactions(store: &PostgresStore) {
    let store = store.clone().transactional();
    let failed = Release::Failed(Failure::transient("status 500"));
    for release in [failed, Release::Free] {
        let mut execution = match store.claim(&request("plan")).await.unwrap() {
            Claim::Acquired(execution) => execution,
            other => panic!("expected to acquire the key: {other:?}"),
        };
        let settled = execution.release(&release).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        let _ = execution.steps().load().await.unwrap();
        let _ = execution.steps().keep(&Steps::from("{}")).await.unwrap();
    }
    let mut execution = match store.claim(&request("plan")).await.unwrap() {
        Claim::Acquired(execution) => execution,
        other => panic!("expected to acquire the key: {other:?}"),
    };
    let settled = execution.complete(&completed(200)).await.unwrap();
    assert_eq!(settled, Settled::Applied);
    let _ = store.ended(&[request("plan").id]).await.unwrap();
}

/// Returns the generic plans of all statements that were prepared on the only connection.
async fn plans(store: &PostgresStore) -> Vec<String> {
    let mut connection = store.pool().acquire().await.unwrap();
    let generic = "SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(generic)
        .execute(&mut *connection)
        .await
        .unwrap();
    let prepared = "SELECT name, coalesce(cardinality(parameter_types), 0)
                    FROM pg_prepared_statements
                    WHERE cardinality(parameter_types) > 0 AND statement ~ 'idempotency_keys' AND statement !~ 'pg_prepared_statements'";
    let prepared: Vec<(String, i32)> = sqlx::query_as(prepared)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let mut plans = Vec::new();
    for (name, parameters) in prepared {
        let nulls = vec!["NULL"; parameters.unsigned_abs() as usize].join(", ");
        let sql = format!("EXPLAIN EXECUTE {name} ({nulls})");
        let rows = sqlx::raw_sql(AssertSqlSafe(sql))
            .fetch_all(&mut *connection)
            .await;
        let rows = rows.unwrap();
        let lines = rows.iter().map(|row| row.get::<String, _>(0));
        plans.push(lines.collect::<Vec<_>>().join("\n"));
    }
    plans
}

/// On a table of a few pages the sweep may as well read them.
async fn assert_look_ups(store: &PostgresStore, when: &str, is_small: bool) {
    let plans = plans(store).await;
    assert!(plans.len() >= 22, "{when}: only {} statements", plans.len());
    for plan in plans {
        let sweeps = plan.contains("sweep_at");
        let reads_all = plan.contains("Seq Scan on idempotency_keys");
        assert!(!reads_all || (sweeps && is_small), "{when}:\n{plan}");
    }
}

/// Nobody but the test gathers statistics.
async fn postgres_left_alone() -> Postgres {
    let postgres = postgres().await;
    postgres
        .execute("ALTER TABLE idempotency_keys SET (autovacuum_enabled = false)")
        .await;
    postgres
}

/// Fills the table with records that were written at `moment`, an expression of the server's.
async fn fill_as_of(postgres: &Postgres, moment: &str, rows: u32) {
    postgres
        .execute(&format!(
            "INSERT INTO idempotency_keys
                 (id, token, created_at, ended_at, expires_at, sweep_at, attempt, takeover,
                  fingerprint, namespace, principal, route, key, response_status, response_head)
             SELECT sha256(convert_to(n::text || clock_timestamp()::text, 'UTF8')),
                    gen_random_uuid(), t, t, t + interval '7 days', t + interval '7 days', 1,
                    false, decode(repeat('01', 33), 'hex'), '', 'p', 'r', n::text,
                    200, '\\x01'
             FROM generate_series(1, {rows}) AS n, LATERAL (SELECT {moment} AS t) AS written"
        ))
        .await;
}

async fn fill(postgres: &Postgres, rows: u32) {
    fill_as_of(postgres, "clock_timestamp()", rows).await;
}

#[test]
fn plans_stay_look_ups_on_an_empty_a_growing_and_a_never_analysed_table() {
    run(async {
        let postgres = postgres_left_alone().await;
        let builder = PostgresStore::builder(pool(&postgres.options, 1).await);
        let store = builder.batch_connections(0).build().unwrap();
        exercise(&store).await;
        assert_look_ups(&store, "empty", true).await;
        fill(&postgres, 2_000).await;
        assert_look_ups(&store, "never analysed", true).await;
        postgres.execute("ANALYZE idempotency_keys").await;
        assert_look_ups(&store, "analysed", true).await;
        fill(&postgres, 50_000).await;
        assert_look_ups(&store, "grown since", false).await;
    });
}

/// Lets the sessions that write tell how their prepared statements are carried out: nobody else
/// can ask those of the batches.
const TELL_PLANS: &str = "
    CREATE TABLE plans (line text NOT NULL);
    CREATE FUNCTION tell_plans() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        prepared record;
        line text;
    BEGIN
        FOR prepared IN SELECT * FROM pg_prepared_statements WHERE statement ~ 'unnest|ctid =' LOOP
            INSERT INTO plans VALUES ('prepared ' || md5(prepared.statement));
            FOR line IN EXECUTE format('EXPLAIN EXECUTE %I (%s)', prepared.name,
                trim(trailing ',' FROM repeat('NULL,', cardinality(prepared.parameter_types))))
            LOOP
                INSERT INTO plans VALUES (line);
            END LOOP;
        END LOOP;
        RETURN NULL;
    END $$;
    CREATE TRIGGER tell_plans AFTER INSERT OR UPDATE ON idempotency_keys
        EXECUTE FUNCTION tell_plans()";

/// Has an end, claims, completions, a claim and an end, and a claim and a completion in a batch;
/// and completions by themselves, of a row that is where it was made and of one that is not.
async fn exercise_batches(postgres: &Postgres, store: &PostgresStore) {
    let [a, b, c, d, e, f] = ["a", "b", "c", "d", "e", "f"].map(request);
    let mut a = acquire(store, &a).await;
    let claims = async { tokio::join!(acquire(store, &b), acquire(store, &c), acquire(store, &f)) };
    let (mut b, mut c, mut f) = behind(postgres, a.renew(), claims).await;
    let both = async { tokio::join!(b.renew(), acquire(store, &d)) };
    let (renewed, mut d) = behind(postgres, a.renew(), both).await;
    assert_eq!(renewed.unwrap(), Renewal::Renewed);
    let completed = completed(200);
    let both = async { tokio::join!(f.complete(&completed), acquire(store, &e)) };
    let (settled, mut e) = behind(postgres, a.renew(), both).await;
    assert_eq!(settled.unwrap(), Settled::Applied);
    let both = async { tokio::join!(c.complete(&completed), d.complete(&completed)) };
    let (first, second) = behind(postgres, a.renew(), both).await;
    assert_eq!(first.unwrap(), Settled::Applied);
    assert_eq!(second.unwrap(), Settled::Applied);
    assert_eq!(e.complete(&completed).await.unwrap(), Settled::Applied);
    assert_eq!(b.complete(&completed).await.unwrap(), Settled::Applied);
    // The last batch that changes a record tells of those before it.
    assert_eq!(a.renew().await.unwrap(), Renewal::Renewed);
}

async fn assert_batches_look_up(postgres: &Postgres, store: &PostgresStore, when: &str) {
    let forget = "DELETE FROM plans;
                  DELETE FROM idempotency_keys WHERE key IN ('a', 'b', 'c', 'd', 'e', 'f')";
    postgres.execute(forget).await;
    exercise_batches(postgres, store).await;
    let plans = "SELECT line FROM plans";
    let lines: Vec<String> = sqlx::query_scalar(plans)
        .fetch_all(&postgres.pool)
        .await
        .unwrap();
    let told: HashSet<_> = lines
        .iter()
        .filter(|line| line.starts_with("prepared"))
        .collect();
    assert_eq!(told.len(), 7, "{when}: how many statements told");
    let lines = lines.join("\n");
    // An index scan without a condition reads the whole table.
    let table = "idempotency_keys";
    let scans = lines.matches(&format!(" on {table}")).count()
        - ["Insert on", "Update on", "Delete on"]
            .map(|change| lines.matches(&format!("{change} {table}")).count())
            .iter()
            .sum::<usize>();
    let looks =
        lines.matches("Index Cond: (id = ").count() + lines.matches("TID Cond: (ctid = ").count();
    assert_eq!(scans, looks, "{when}:\n{lines}");
    for other_way in [
        "Seq Scan on idempotency_keys",
        "Bitmap",
        "Hash",
        "Merge",
        "Memoize",
    ] {
        assert!(!lines.contains(other_way), "{when}: {other_way}\n{lines}");
    }
    assert!(
        lines.contains("Index Scan using idempotency_keys_pkey"),
        "{when}:\n{lines}"
    );
}

#[test]
fn batches_stay_look_ups_on_an_empty_a_growing_and_a_never_analysed_table() {
    run(async {
        let postgres = postgres_left_alone().await;
        postgres.execute(TELL_PLANS).await;
        let fresh = || store(&postgres, 1);
        // Its plans are made once, and again only when the table is analysed.
        let old = fresh();
        let look = async |when| {
            assert_batches_look_up(&postgres, &old, when).await;
            assert_batches_look_up(&postgres, &fresh(), when).await;
        };
        look("never analysed").await;
        postgres
            .execute("TRUNCATE idempotency_keys; ANALYZE idempotency_keys")
            .await;
        look("analysed while empty").await;
        postgres.execute("ANALYZE idempotency_keys").await;
        look("analysed while nearly empty").await;
        fill(&postgres, 50_000).await;
        look("grown since").await;
        postgres.execute("ANALYZE idempotency_keys").await;
        look("analysed").await;
    });
}

/// Fills the table with records that have expired, one after the other.
///
/// They are written so: entries of the index that changing them left behind would be read as well,
/// as long as the transaction of another test may still see them.
async fn fill_with_expired(postgres: &Postgres, rows: u32) {
    let moment = "clock_timestamp() - interval '8 days' - n * interval '1 second'";
    fill_as_of(postgres, moment, rows).await;
}

/// Returns how many entries of the sweep's index were read, by connections that have ended: those
/// hand their statistics in.
async fn entries_read(postgres: &Postgres, at_least: i64) -> i64 {
    let entries = "SELECT idx_tup_read, idx_scan FROM pg_stat_user_indexes
                   WHERE indexrelid = 'idempotency_keys_sweep_at'::regclass";
    statistics(&postgres.pool, entries, at_least).await.0
}

/// A backlog that is looked through once for each batch is never worked off.
#[test]
fn a_sweep_reads_no_more_of_a_backlog_than_it_deletes() {
    run(async {
        let postgres = postgres_left_alone().await;
        fill_with_expired(&postgres, 20_000).await;
        postgres.execute("VACUUM ANALYZE idempotency_keys").await;
        let pool = pool(&postgres.options, 1).await;
        let swept = PostgresStore::new(pool.clone()).sweep(10).await.unwrap();
        assert_eq!((swept.deleted, swept.more), (10, true));
        pool.close().await;
        let read = entries_read(&postgres, 10).await;
        assert!(read <= 100, "{read} entries of the index were read");
    });
}

/// The entries of deleted records stay in the index until it is vacuumed.
#[test]
fn a_batch_of_a_sweep_does_not_pass_by_what_those_before_it_have_deleted() {
    run(async {
        let postgres = postgres_left_alone().await;
        fill_with_expired(&postgres, 2_000).await;
        postgres.execute("VACUUM ANALYZE idempotency_keys").await;
        // Sees what is deleted from now on, so that nobody may take it out of the index.
        let mut onlooker = postgres.pool.begin().await.unwrap();
        let look = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1";
        onlooker.execute(sqlx::raw_sql(look)).await.unwrap();
        let pool = pool(&postgres.options, 1).await;
        let store = PostgresStore::new(pool.clone());
        let mut deleted = 0;
        while {
            let swept = store.sweep(100).await.unwrap();
            deleted += swept.deleted;
            swept.more
        } {}
        assert_eq!(deleted, 2_000);
        onlooker.rollback().await.unwrap();
        pool.close().await;
        let read = entries_read(&postgres, 2_000).await;
        assert!(read <= 3_000, "{read} entries of the index were read");
    });
}

//! The same with the drivers themselves, whose types users have in hand.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, SqlSafeStr, SqliteConnection, SqlitePool};
use sqlx_once::{Once, Retry, RowClaim, Series, claim_row, insert_or_fetch, migrate};

use crate::support::{Db, run};

const INSERT: &str = "INSERT INTO entries (token) VALUES ($1)
    ON CONFLICT (token) DO NOTHING RETURNING token";
const FETCH: &str = "SELECT token FROM entries WHERE token = $1";
const CLAIM: &str = "UPDATE entries SET used = 1 WHERE token = $1 AND used = 0 RETURNING token";
const TABLE: &str = "CREATE TABLE entries (token TEXT PRIMARY KEY, used BIGINT DEFAULT 0)";

macro_rules! everything {
    ($name:ident, $connection:ty, $pool:ty) => {
        /// In a task, so all futures have to be `Send`.
        async fn $name(pool: $pool, begin: &'static str) {
            let work = tokio::spawn(async move {
                migrate(&pool).await.unwrap();
                let mut transaction = pool.begin_with(begin.into_sql_str()).await.unwrap();
                // What a store's transaction dereferences to.
                let connection: &mut $connection = &mut transaction;
                let once = insert_or_fetch(
                    &mut *connection,
                    sqlx::query_as::<_, (String,)>(INSERT).bind("a"),
                    sqlx::query_as(FETCH).bind("a"),
                );
                assert!(matches!(once.await.unwrap(), Once::Inserted(_)));
                let claim = claim_row(
                    &mut *connection,
                    sqlx::query_as::<_, (String,)>(CLAIM).bind("a"),
                    sqlx::query_as::<_, (String,)>(FETCH).bind("a"),
                );
                assert!(matches!(claim.await.unwrap(), RowClaim::Won(_)));
                let series = Series::new("a", "").unwrap();
                assert_eq!(series.next_gapless(connection).await.unwrap(), 1);
                assert_eq!(series.next_with_gaps(&mut *connection).await.unwrap(), 1);
                let retry = Retry::on("entries_pkey").or_on("entries.token");
                let mut tries = retry.first_pause(Duration::ZERO).tries();
                for (token, is_free) in [("a", false), ("b", true)] {
                    let mut attempt = tries.begin(&mut *connection).await.unwrap();
                    let insert = sqlx::query("INSERT INTO entries (token) VALUES ($1)");
                    let outcome = insert.bind(token).execute(&mut *attempt).await;
                    let inserted = tries.end(attempt, outcome).await.unwrap();
                    assert_eq!(inserted.is_some(), is_free);
                }
                transaction.commit().await.unwrap();
                let once = insert_or_fetch(
                    &pool,
                    sqlx::query_as::<_, (String,)>(INSERT).bind("b"),
                    sqlx::query_as(FETCH).bind("b"),
                );
                assert!(matches!(once.await.unwrap(), Once::Existing(_)));
            });
            work.await.unwrap();
        }
    };
}

everything!(all_of_postgres, PgConnection, PgPool);
everything!(all_of_sqlite, SqliteConnection, SqlitePool);

#[test]
fn everything_works_with_postgres_itself() {
    run(async {
        let db = Db::postgres().await;
        db.sql(TABLE).await;
        let pool = PgPool::connect(&db.url).await.unwrap();
        all_of_postgres(pool, "BEGIN").await;
    });
}

#[test]
fn everything_works_with_sqlite_itself() {
    run(async {
        let db = Db::sqlite().await;
        db.sql(TABLE).await;
        let pool = SqlitePool::connect(&db.url).await.unwrap();
        all_of_sqlite(pool, "BEGIN IMMEDIATE").await;
    });
}

use std::{iter, sync::Arc};

use futures_util::future::join_all;
use sqlx::{Any, AnyConnection, Row};
use sqlx_once::{Access, Backend, Error, ErrorKind, Once, insert_or_fetch, is_violation_of};
use tokio::sync::Barrier;

use crate::support::{Db, run};

const TABLE: &str = "
    CREATE TABLE entries (
        token TEXT,
        note TEXT NOT NULL,
        number BIGINT CONSTRAINT entries_number_key UNIQUE);
    CREATE UNIQUE INDEX entries_token_key ON entries (token) WHERE token IS NOT NULL;
    CREATE TABLE notices (note TEXT)";

async fn save(
    connection: impl Access<Database = Any>,
    token: Option<&str>,
    note: &str,
    number: Option<i64>,
) -> Result<Once<(String,)>, Error> {
    let insert = "INSERT INTO entries (token, note, number) VALUES ($1, $2, $3)
        ON CONFLICT (token) WHERE token IS NOT NULL DO NOTHING RETURNING note";
    let insert = sqlx::query_as(insert).bind(token).bind(note).bind(number);
    let fetch = sqlx::query_as("SELECT note FROM entries WHERE token = $1").bind(token);
    insert_or_fetch(connection, insert, fetch).await
}

async fn notify(connection: &mut AnyConnection) {
    let notify = sqlx::query("INSERT INTO notices VALUES ('sent')");
    notify.execute(connection).await.unwrap();
}

fn named(note: &str) -> (String,) {
    (note.to_owned(),)
}

both! {
    async fn of_many_inserts_with_one_token_one_inserts_and_all_see_its_row(db: Db) {
        db.sql(TABLE).await;
        let db = Arc::new(db);
        let barrier = Arc::new(Barrier::new(20));
        let tasks = (0..20).map(|task| {
            let (db, barrier) = (Arc::clone(&db), Arc::clone(&barrier));
            // On a thread of its own, so the future has to be `Send`.
            tokio::spawn(async move {
                barrier.wait().await;
                let mut transaction = db.begin().await;
                let note = task.to_string();
                let saved = save(&mut transaction, Some("t"), &note, None).await.unwrap();
                if saved.is_inserted() {
                    notify(&mut transaction).await;
                }
                transaction.commit().await.unwrap();
                (note, saved)
            })
        });
        let saved: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> = saved.iter().filter(|(_, saved)| saved.is_inserted()).collect();
        assert_eq!(winners.len(), 1);
        let winner = named(&winners[0].0);
        assert!(saved.into_iter().all(|(_, saved)| saved.into_row() == winner));
        assert_eq!((db.count("entries").await, db.count("notices").await), (1, 1));
    }

    async fn a_pool_inserts_at_once_and_finds_it_again(db: Db) {
        db.sql(TABLE).await;
        let first = save(&db.pool, Some("t"), "first", None).await.unwrap();
        assert_eq!(first, Once::Inserted(named("first")));
        let second = save(&db.pool, Some("t"), "second", None).await.unwrap();
        assert_eq!(second, Once::Existing(named("first")));
    }

    async fn rows_without_a_token_are_always_inserted(db: Db) {
        db.sql(TABLE).await;
        for _ in 0..2 {
            assert!(save(&db.pool, None, "old form", None).await.unwrap().is_inserted());
        }
        assert_eq!(db.count("entries").await, 2);
    }

    async fn any_other_violation_stays_the_error_that_it_is(db: Db) {
        db.sql(TABLE).await;
        let _first = save(&db.pool, Some("t"), "first", Some(7)).await.unwrap();
        let error = save(&db.pool, Some("another"), "second", Some(7)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Database);
        let name = if db.is_postgres { "entries_number_key" } else { "entries.number" };
        assert!(is_violation_of(&error, name));
        assert_eq!(db.count("entries").await, 1);
    }

    /// A form that is sent again has everything in common with the first one.
    async fn a_used_token_goes_before_any_other_violation(db: Db) {
        db.sql(TABLE).await;
        let _first = save(&db.pool, Some("t"), "first", Some(7)).await.unwrap();
        let second = save(&db.pool, Some("t"), "second", Some(7)).await.unwrap();
        assert_eq!(second, Once::Existing(named("first")));
    }

    async fn a_row_that_is_not_found_after_all_is_an_error(db: Db) {
        db.sql(TABLE).await;
        let _first = save(&db.pool, Some("t"), "first", None).await.unwrap();
        let insert = "INSERT INTO entries (token, note) VALUES ('t', 'second')
            ON CONFLICT (token) WHERE token IS NOT NULL DO NOTHING RETURNING note";
        let fetch = "SELECT note FROM entries WHERE token = 'another'";
        let saved: Result<Once<(String,)>, _> =
            insert_or_fetch(&db.pool, sqlx::query_as(insert), sqlx::query_as(fetch)).await;
        assert_eq!(saved.unwrap_err().kind(), ErrorKind::NothingThere);
    }

    async fn an_insert_that_passes_over_every_conflict_is_not_run(db: Db) {
        db.sql(TABLE).await;
        let insert = "INSERT INTO entries (token, note) VALUES ('t', 'a')
            ON CONFLICT DO NOTHING RETURNING note";
        let fetch = "SELECT note FROM entries WHERE token = 't'";
        let saved: Result<Once<(String,)>, _> =
            insert_or_fetch(&db.pool, sqlx::query_as(insert), sqlx::query_as(fetch)).await;
        assert_eq!(saved.unwrap_err().kind(), ErrorKind::Statement);
        assert_eq!(db.count("entries").await, 0);
    }
}

/// Starts a second insert while the first one's transaction is open, and ends that.
async fn second_while_the_first_is_open(db: &Arc<Db>, commits: bool) -> Once<(String,)> {
    let mut first = db.begin().await;
    let saved = save(&mut first, Some("t"), "first", None).await.unwrap();
    assert!(saved.is_inserted());
    let second = tokio::spawn({
        let db = Arc::clone(db);
        async move {
            let mut transaction = db.begin().await;
            // A snapshot is taken before the wait, too.
            let before = sqlx::query("SELECT count(*) FROM entries");
            let before = before.fetch_one(&mut *transaction).await.unwrap();
            assert_eq!(before.get::<i64, _>(0), 0);
            let saved = save(&mut transaction, Some("t"), "second", None).await;
            // The transaction is as good as before.
            notify(&mut transaction).await;
            transaction.commit().await.unwrap();
            saved.unwrap()
        }
    });
    db.waiters(1).await;
    assert!(!second.is_finished());
    if commits {
        first.commit().await.unwrap();
    } else {
        first.rollback().await.unwrap();
    }
    second.await.unwrap()
}

#[test]
fn whoever_waited_for_a_commit_sees_its_row_and_can_go_on() {
    run(async {
        let db = Arc::new(Db::postgres().await);
        db.sql(TABLE).await;
        let second = second_while_the_first_is_open(&db, true).await;
        assert_eq!(second, Once::Existing(named("first")));
        assert_eq!(db.count("notices").await, 1);
    });
}

#[test]
fn whoever_waited_for_a_rollback_inserts() {
    run(async {
        let db = Arc::new(Db::postgres().await);
        db.sql(TABLE).await;
        let second = second_while_the_first_is_open(&db, false).await;
        assert_eq!(second, Once::Inserted(named("second")));
    });
}

#[test]
fn above_read_committed_the_error_says_to_run_all_of_it_again() {
    run(async {
        let db = Db::postgres().await;
        db.sql(TABLE).await;
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            db.sql("DELETE FROM entries").await;
            let begin = sqlx::AssertSqlSafe(format!("BEGIN ISOLATION LEVEL {level}"));
            let mut late = db.pool.begin_with(begin).await.unwrap();
            let look = sqlx::query("SELECT count(*) FROM entries");
            look.execute(&mut *late).await.unwrap();
            let _first = save(&db.pool, Some("t"), "first", None).await.unwrap();
            let error = save(&mut late, Some("t"), "late", None).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Serialization, "{level}");
        }
    });
}

#[test]
fn in_sqlite_a_transaction_that_read_first_is_told_to_run_again() {
    run(async {
        let db = Db::sqlite().await;
        db.sql(TABLE).await;
        let mut late = db.pool.begin().await.unwrap();
        let look = sqlx::query("SELECT count(*) FROM entries");
        look.execute(&mut *late).await.unwrap();
        let _first = save(&db.pool, Some("t"), "first", None).await.unwrap();
        let error = save(&mut late, Some("t"), "late", None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Serialization);
    });
}

/// Every error says something, and does not say what its source says.
#[test]
fn errors_do_not_repeat_their_source() {
    let error = Error::from(sqlx::Error::PoolClosed);
    let source = std::error::Error::source(&error).unwrap();
    assert!(!error.to_string().contains(&source.to_string()));
    let chain = iter::successors(Some(source), |error| error.source());
    assert_eq!(chain.count(), 1);
}

/// The bound is written as a user's generic function would.
#[expect(dead_code, reason = "it is enough that it compiles")]
async fn generic<DB>(pool: &sqlx::Pool<DB>) -> Result<(), Error>
where
    DB: Backend,
{
    sqlx_once::migrate(pool).await
}

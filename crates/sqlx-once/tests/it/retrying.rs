use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use sqlx::{AnyConnection, Error};
use sqlx_once::{Retry, Tries, is_violation_of};
use tokio::sync::Barrier;

use crate::support::{Db, run};

const TABLE: &str = "
    CREATE TABLE invites (code BIGINT CONSTRAINT invites_code_key UNIQUE,
        email TEXT CONSTRAINT invites_email_key UNIQUE);
    CREATE TABLE notes (note TEXT)";

fn retry(db: &Db) -> Retry {
    let name = if db.is_postgres {
        "invites_code_key"
    } else {
        "invites.code"
    };
    Retry::on(name).first_pause(Duration::from_millis(1))
}

/// Tries on the pool until one try gets through; returns how many were made.
async fn on_pool(
    db: &Db,
    mut tries: Tries,
    mut row: impl FnMut(i64) -> (i64, &'static str),
) -> (i64, Result<(), Error>) {
    for number in 1.. {
        let mut attempt = tries.begin_on(&db.pool).await.unwrap();
        let (code, email) = row(number);
        note(&mut attempt).await.unwrap();
        let outcome = insert(&mut attempt, code, email).await;
        match tries.end(attempt, outcome).await {
            Ok(None) => {}
            Ok(Some(())) => return (number, Ok(())),
            Err(error) => return (number, Err(error)),
        }
    }
    unreachable!("the tries are used up before")
}

async fn insert(connection: &mut AnyConnection, code: i64, email: &str) -> Result<(), Error> {
    let insert = sqlx::query("INSERT INTO invites (code, email) VALUES ($1, $2)");
    let insert = insert.bind(code).bind(email);
    insert.execute(connection).await.map(drop)
}

async fn note(connection: &mut AnyConnection) -> Result<(), Error> {
    let note = sqlx::query("INSERT INTO notes VALUES ('tried')");
    note.execute(connection).await.map(drop)
}

fn emails(db: &Db) -> &'static str {
    if db.is_postgres {
        "invites_email_key"
    } else {
        "invites.email"
    }
}

both! {
    async fn a_named_conflict_is_tried_again_and_leaves_nothing_of_the_failed_tries(db: Db) {
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a'), (2, 'b')").await;
        let (tries, made) = on_pool(&db, retry(&db).tries(), |number| (number, "c")).await;
        made.unwrap();
        assert_eq!(tries, 3);
        assert_eq!((db.count("invites").await, db.count("notes").await), (3, 1));
    }

    async fn another_conflict_is_returned_at_once(db: Db) {
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        let (tries, made) = on_pool(&db, retry(&db).tries(), |_| (2, "a")).await;
        assert!(is_violation_of(&made.unwrap_err(), emails(&db)));
        assert_eq!(tries, 1);
        assert_eq!(db.count("notes").await, 0);
    }

    async fn a_further_constraint_can_be_named(db: Db) {
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        let retry = retry(&db).or_on(emails(&db));
        let email = |number| if number == 1 { "a" } else { "b" };
        let (tries, made) = on_pool(&db, retry.tries(), |number| (2, email(number))).await;
        made.unwrap();
        assert_eq!(tries, 2);
    }

    async fn the_last_conflict_is_returned_when_the_tries_are_used_up(db: Db) {
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        for retries in [0, 3] {
            let retry = retry(&db).retries(retries);
            let (tries, made) = on_pool(&db, retry.tries(), |_| (1, "b")).await;
            assert!(made.unwrap_err().as_database_error().is_some());
            assert_eq!(tries, i64::from(retries) + 1);
        }
    }

    async fn in_an_open_transaction_a_conflict_spoils_nothing(db: Db) {
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        let mut transaction = db.begin().await;
        note(&mut transaction).await.unwrap();
        let mut tries = retry(&db).tries();
        for code in 1..=2 {
            let mut attempt = tries.begin(&mut *transaction).await.unwrap();
            note(&mut attempt).await.unwrap();
            let outcome = insert(&mut attempt, code, "b").await;
            let made = tries.end(attempt, outcome).await.unwrap();
            assert_eq!(made.is_some(), code == 2);
        }
        note(&mut transaction).await.unwrap();
        assert_eq!(db.count("invites").await, 1, "it is not committed yet");
        transaction.commit().await.unwrap();
        assert_eq!((db.count("invites").await, db.count("notes").await), (2, 3));
    }

    async fn used_up_tries_leave_the_open_transaction_usable(db: Db) {
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        let mut transaction = db.begin().await;
        let mut tries = retry(&db).retries(0).tries();
        let mut attempt = tries.begin(&mut *transaction).await.unwrap();
        let outcome = insert(&mut attempt, 1, "b").await;
        tries.end(attempt, outcome).await.unwrap_err();
        note(&mut transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(db.count("notes").await, 1);
    }

    async fn a_try_that_is_dropped_leaves_nothing(db: Db) {
        db.sql(TABLE).await;
        let mut tries = retry(&db).tries();
        let mut attempt = tries.begin_on(&db.pool).await.unwrap();
        note(&mut attempt).await.unwrap();
        drop(attempt);
        let attempt = tries.begin_on(&db.pool).await.unwrap();
        let made = tries.end(attempt, Ok::<_, Error>(())).await;
        assert_eq!(made.unwrap(), Some(()));
        assert_eq!(db.count("notes").await, 0);
    }

    async fn those_who_collide_get_through_in_the_end(db: Db) {
        db.sql(TABLE).await;
        let db = Arc::new(db);
        let barrier = Arc::new(Barrier::new(6));
        let tasks = (0..6).map(|task| {
            let (db, barrier) = (Arc::clone(&db), Arc::clone(&barrier));
            tokio::spawn(async move {
                let email = task.to_string();
                let retry = retry(&db).retries(50).longest_pause(Duration::from_millis(20));
                let mut tries = retry.tries();
                barrier.wait().await;
                loop {
                    let mut attempt = tries.begin_on(&db.pool).await.unwrap();
                    let next = sqlx::query_scalar("SELECT count(*) + 1 FROM invites");
                    let next: i64 = next.fetch_one(&mut *attempt).await.unwrap();
                    let outcome = insert(&mut attempt, next, &email).await;
                    if tries.end(attempt, outcome).await.unwrap().is_some() {
                        break;
                    }
                }
            })
        });
        for made in join_all(tasks).await {
            made.unwrap();
        }
        assert_eq!(db.count("invites").await, 6);
    }
}

#[test]
fn a_try_that_hides_a_failed_statement_is_an_error() {
    run(async {
        let db = Db::postgres().await;
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        let mut tries = retry(&db).tries();
        let mut alone = tries.begin_on(&db.pool).await.unwrap();
        note(&mut alone).await.unwrap();
        insert(&mut alone, 1, "b").await.unwrap_err();
        tries.end(alone, Ok::<_, Error>(())).await.unwrap_err();
        assert_eq!(db.count("notes").await, 0);

        let mut open = db.begin().await;
        let mut nested = tries.begin(&mut *open).await.unwrap();
        insert(&mut nested, 1, "b").await.unwrap_err();
        tries.end(nested, Ok::<_, Error>(())).await.unwrap_err();
        note(&mut open).await.unwrap();
        open.commit().await.unwrap();
        assert_eq!(db.count("notes").await, 1);
    });
}

#[test]
fn a_conflict_that_shows_in_the_commit_is_tried_again() {
    run(async {
        let db = Db::postgres().await;
        db.sql(TABLE).await;
        db.sql(
            "ALTER TABLE invites DROP CONSTRAINT invites_code_key,
            ADD CONSTRAINT invites_code_key UNIQUE (code) DEFERRABLE INITIALLY DEFERRED",
        )
        .await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        let (tries, made) = on_pool(&db, retry(&db).tries(), |number| (number, "b")).await;
        made.unwrap();
        assert_eq!((tries, db.count("notes").await), (2, 1));
    });
}

/// Reads, lets somebody else write, and writes then.
async fn meet(db: &Db, mut tries: Tries) -> Result<Option<()>, Error> {
    let mut attempt = tries.begin_on(&db.pool).await.unwrap();
    for sql in [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "SELECT * FROM invites",
    ] {
        sqlx::query(sql).execute(&mut *attempt).await.unwrap();
    }
    db.sql("UPDATE invites SET email = email").await;
    let update = sqlx::query("UPDATE invites SET email = 'z'");
    let outcome = update.execute(&mut *attempt).await.map(drop);
    assert!(outcome.is_err(), "they met");
    tries.end(attempt, outcome).await
}

#[test]
fn serialization_failures_are_tried_again_only_if_asked_for() {
    run(async {
        let db = Db::postgres().await;
        db.sql(TABLE).await;
        db.sql("INSERT INTO invites VALUES (1, 'a')").await;
        meet(&db, retry(&db).tries()).await.unwrap_err();
        let asked = retry(&db).or_on_serialization_failures();
        assert_eq!(meet(&db, asked.tries()).await.unwrap(), None);
    });
}

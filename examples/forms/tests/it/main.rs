//! The fault, and its absence: a form that was sent again after its answer was lost.

use std::fs;

use example_server::{Database, Reply, Request, Server, on_both, run};
use serde_json::{Value, json};
use sqlx::AnyPool;

fn serve(database: &Database, options: &[&str]) -> Server {
    let mut arguments = database.arguments.clone();
    if database.is_postgres {
        // For the uploads alone.
        arguments.extend([
            "--folder".to_owned(),
            database.folder().display().to_string(),
        ]);
    }
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    Server::start(env!("CARGO_BIN_EXE_forms"), arguments)
}

fn form(token: Option<&str>, patient: &str) -> Value {
    let (student, day) = ("ada", "2025-03-01");
    json!({ "token": token, "student": student, "day": day, "patient": patient, "attachment": "scan" })
}

/// Sends a form with its token in the body.
fn save(server: &Server, token: Option<&str>, patient: &str) -> Request {
    server.post("/practicas").json(&form(token, patient))
}

/// Sends all of them at a time.
async fn at_once(requests: impl IntoIterator<Item = Request>) -> Vec<Reply> {
    let tasks: Vec<_> = requests.into_iter().map(Request::spawn).collect();
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await.expect("there is an answer"));
    }
    replies
}

/// The daily numbers of all entries.
async fn numbers(server: &Server) -> Vec<i64> {
    let rows = server.get("/practicas").send().await.json();
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row["number"].as_i64().expect("a number"))
        .collect()
}

async fn notices(database: &Database) -> i64 {
    let pool = database.connect().await;
    database.number(&pool, "SELECT count(*) FROM notices").await
}

fn uploads(database: &Database) -> usize {
    let folder = database.folder().join("uploads");
    fs::read_dir(folder).expect("the folder is there").count()
}

/// Holds the lock of the student and day.
async fn hold(pool: &AnyPool) -> sqlx::Transaction<'static, sqlx::Any> {
    let mut gate = pool.begin().await.expect("a transaction");
    let lock = "SELECT CAST(1 AS bigint)
        FROM pg_advisory_xact_lock(hashtextextended('ada 2025-03-01', 0))";
    let lock = sqlx::query(lock).execute(&mut *gate).await;
    lock.expect("the lock is free");
    gate
}

on_both! {
    /// The fault. The patient differs only so that nothing else refuses the second one.
    async fn without_us_a_form_that_is_sent_again_makes_two_entries(database: Database) {
        let server = serve(&database, &["--protection", "none"]);
        for patient in ["p1", "p1 "] {
            assert_eq!(save(&server, Some("t"), patient).send().await.status, 201);
        }
        assert_eq!(numbers(&server).await, [1, 2]);
        assert_eq!((notices(&database).await, uploads(&database)), (2, 2));
    }

    async fn a_form_that_is_sent_again_is_one_entry_with_one_notice(database: Database) {
        let server = serve(&database, &[]);
        let first = save(&server, Some("t"), "p1").send().await;
        let second = save(&server, Some("t"), "p1").send().await;
        assert_eq!((first.status, second.status), (201, 201));
        assert_eq!(first.body, second.body);
        assert!(!first.is_replay() && second.is_replay());
        assert_eq!(numbers(&server).await, [1]);
        assert_eq!((notices(&database).await, uploads(&database)), (1, 1));
    }

    async fn the_token_may_be_in_the_header(database: Database) {
        let server = serve(&database, &[]);
        let save = save(&server, None, "p1").key("t");
        let first = save.clone().send().await;
        let second = save.send().await;
        assert_eq!((first.status, &first.body), (201, &second.body));
        assert!(second.is_replay());
        assert_eq!(numbers(&server).await, [1]);
    }

    async fn of_ten_at_once_all_get_the_one_entry(database: Database) {
        for protection in ["all", "token"] {
            let server = serve(&database, &["--protection", protection]);
            let save = save(&server, Some(protection), protection);
            let replies = at_once(vec![save; 10]).await;
            let id = &replies[0].json()["id"];
            for reply in &replies {
                assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
                assert_eq!(reply.json(), json!({ "success": true, "id": id }));
            }
        }
        let server = serve(&database, &[]);
        assert_eq!(numbers(&server).await, [1, 2]);
        assert_eq!((notices(&database).await, uploads(&database)), (2, 2));
    }

    /// As when it has expired. Nothing is uploaded: the look-up comes first.
    async fn a_form_whose_record_is_gone_finds_its_entry(database: Database) {
        let server = serve(&database, &[]);
        let first = save(&server, Some("t"), "p1").send().await;
        drop(server);
        if database.is_postgres {
            let pool = database.connect().await;
            database.sql(&pool, "DELETE FROM idempotency_keys").await;
        } else {
            for end in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(database.folder().join(format!("keys.db{end}")));
            }
        }
        let server = serve(&database, &[]);
        let again = save(&server, Some("t"), "p1").send().await;
        assert_eq!((again.status, again.is_replay()), (200, false));
        assert_eq!(again.json(), first.json());
        assert_eq!(numbers(&server).await, [1]);
        assert_eq!((notices(&database).await, uploads(&database)), (1, 1));
    }

    async fn old_forms_without_a_token_go_on_working(database: Database) {
        let server = serve(&database, &[]);
        for patient in ["p1", "p2"] {
            assert_eq!(save(&server, None, patient).send().await.status, 201);
        }
        assert_eq!(numbers(&server).await, [1, 2]);
    }

    async fn a_patient_that_is_there_is_no_duplicate_of_the_form(database: Database) {
        let server = serve(&database, &[]);
        assert_eq!(save(&server, Some("t"), "p1").send().await.status, 201);
        let other = save(&server, Some("another"), "p1").send().await;
        assert_eq!(other.status, 409);
        assert_eq!(other.json(), json!({ "success": false, "code": "PATIENT_EXISTS" }));
        assert_eq!(numbers(&server).await, [1]);
        assert_eq!((notices(&database).await, uploads(&database)), (1, 1));
    }
}

/// All three have found nothing before their uploads, and wait for the lock.
#[test]
fn what_was_uploaded_in_vain_is_removed() {
    run(async {
        let database = Database::postgres().await;
        let server = serve(&database, &["--protection", "token"]);
        let pool = database.connect().await;
        let gate = hold(&pool).await;
        let save = save(&server, Some("t"), "p1");
        let tasks: Vec<_> = (0..3).map(|_| save.clone().spawn()).collect();
        database.waiters(&pool, 3).await;
        assert_eq!(uploads(&database), 3);
        gate.commit().await.expect("the gate opens");
        let mut statuses = Vec::new();
        for task in tasks {
            statuses.push(task.await.expect("there is an answer").status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 201]);
        assert_eq!(numbers(&server).await, [1]);
        assert_eq!((notices(&database).await, uploads(&database)), (1, 1));
    });
}

/// Somebody takes the number without the lock.
#[test]
fn a_number_that_is_taken_is_an_error_and_the_form_can_be_sent_again() {
    run(async {
        let database = Database::postgres().await;
        let server = serve(&database, &[]);
        let pool = database.connect().await;
        let mut gate = pool.begin().await.expect("a transaction");
        let taken = "INSERT INTO practicas (id, student, day, number, patient, upload)
            VALUES ('x', 'ada', '2025-03-01', 1, 'x', 'x')";
        let taken = sqlx::query(taken).execute(&mut *gate).await;
        taken.expect("the number is free");
        let saving = save(&server, Some("t"), "p1").spawn();
        database.waiters(&pool, 1).await;
        gate.commit().await.expect("the gate opens");
        let reply = saving.await.expect("there is an answer");
        assert_eq!(reply.status, 500, "{}", reply.text());
        let again = save(&server, Some("t"), "p1").send().await;
        assert_eq!(again.status, 201);
        assert_eq!(numbers(&server).await, [1, 2]);
        assert_eq!(notices(&database).await, 1);
    });
}

#[test]
fn a_sender_who_leaves_does_not_stop_the_saving() {
    run(async {
        let database = Database::postgres().await;
        let server = serve(&database, &[]);
        let pool = database.connect().await;
        let gate = hold(&pool).await;
        let leaving = save(&server, Some("t"), "p1").spawn();
        database.waiters(&pool, 1).await;
        leaving.abort();
        leaving.await.expect_err("the sender has left");
        // This one is sent while the first is being saved, and waits for it.
        let again = save(&server, Some("t"), "p1").spawn();
        gate.commit().await.expect("the gate opens");
        let reply = again.await.expect("there is an answer");
        assert_eq!((reply.status, reply.is_replay()), (201, true));
        assert_eq!(numbers(&server).await, [1]);
        assert_eq!((notices(&database).await, uploads(&database)), (1, 1));
    });
}

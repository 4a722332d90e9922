//! The fault, and its absence: numbers handed out twice, and a click that counts twice.

use std::collections::BTreeSet;

use example_server::{Database, Reply, Request, Server, on_both, run};
use serde_json::{Value, json};

fn serve(database: &Database, options: &[&str]) -> Server {
    let arguments = database.arguments.iter().map(String::as_str);
    let arguments = arguments.chain(options.iter().copied());
    Server::start(env!("CARGO_BIN_EXE_assessments"), arguments)
}

/// What the button sends.
fn click(server: &Server, key: &str) -> Request {
    let start = server.post("/assessments").key(key);
    start.json(&json!({ "patient": "Ada" }))
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

/// The numbers that the server shows, without the year.
async fn shown(server: &Server) -> Vec<String> {
    let page = server.get("/").send().await.text();
    let rows = server.get("/assessments").send().await.json();
    let rows = rows.as_array().expect("a list").iter();
    let numbers = rows.map(|row| row["number"].as_str().expect("a number").to_owned());
    let numbers: Vec<_> = numbers.collect();
    assert!(numbers.iter().all(|number| page.contains(number.as_str())));
    let counted = numbers.iter().map(|number| {
        let (series, counted) = number.rsplit_once('-').expect("ASM-<year>-<number>");
        assert!(series.starts_with("ASM-20"), "{number}");
        counted.to_owned()
    });
    counted.collect()
}

fn first(numbers: i32) -> Vec<String> {
    (1..=numbers).map(|number| format!("{number:03}")).collect()
}

/// The fault: all have counted before anyone has inserted.
#[test]
fn counting_gives_all_the_same_number_and_blocks_all_but_one() {
    run(async {
        let database = Database::postgres().await;
        let server = serve(&database, &["--numbers", "count", "--without-layer"]);
        let pool = database.connect().await;
        let mut gate = pool.begin().await.expect("a transaction");
        // Whoever counts gets through, whoever inserts waits.
        let lock = sqlx::query("LOCK TABLE assessments IN SHARE MODE");
        lock.execute(&mut *gate).await.expect("the table is there");
        let tasks: Vec<_> = (0..5)
            .map(|user| click(&server, &user.to_string()).spawn())
            .collect();
        database.waiters(&pool, 5).await;
        gate.commit().await.expect("the gate opens");
        let mut statuses = Vec::new();
        for task in tasks {
            statuses.push(task.await.expect("there is an answer").status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 500, 500, 500, 500]);
        assert_eq!(shown(&server).await, first(1));
    });
}

on_both! {
    /// The fault: the second click counts.
    async fn without_the_layer_a_double_click_starts_two_assessments(database: Database) {
        let server = serve(&database, &["--without-layer"]);
        let clicks = [click(&server, "k"), click(&server, "k")];
        for reply in at_once(clicks).await {
            assert_eq!(reply.status, 201);
        }
        assert_eq!(shown(&server).await, first(2));
    }

    async fn a_double_click_shows_the_one_assessment(database: Database) {
        let server = serve(&database, &[]);
        let replies = at_once([click(&server, "k"), click(&server, "k")]).await;
        assert_eq!((replies[0].status, replies[1].status), (201, 201));
        assert_eq!(replies[0].body, replies[1].body);
        assert!(replies[0].is_replay() != replies[1].is_replay());
        assert_eq!(shown(&server).await, first(1));
    }

    async fn a_hundred_double_clicks_get_a_hundred_numbers_without_a_gap(database: Database) {
        let server = serve(&database, &["--numbers", "gapless"]);
        let users = (0..100).map(|user| user.to_string());
        let clicks = users.flat_map(|user| [click(&server, &user), click(&server, &user)]);
        let replies = at_once(clicks).await;
        assert!(replies.iter().all(|reply| reply.status == 201));
        let numbers: BTreeSet<_> = replies.iter().map(|reply| reply.body.clone()).collect();
        assert_eq!(numbers.len(), 100);
        assert_eq!(shown(&server).await, first(100));
    }

    async fn a_hundred_double_clicks_get_a_hundred_numbers_of_a_sequence(database: Database) {
        let server = serve(&database, &["--numbers", "sequence"]);
        let users = (0..100).map(|user| user.to_string());
        let clicks = users.flat_map(|user| [click(&server, &user), click(&server, &user)]);
        let replies = at_once(clicks).await;
        assert!(replies.iter().all(|reply| reply.status == 201));
        let numbers: BTreeSet<_> = shown(&server).await.into_iter().collect();
        assert_eq!(numbers.len(), 100);
    }

    async fn a_start_that_fails_leaves_no_gap(database: Database) {
        let server = serve(&database, &[]);
        assert_eq!(click(&server, "1").send().await.status, 201);
        let nobody = server.post("/assessments").key("2").json(&json!({ "patient": "" }));
        assert_eq!(nobody.send().await.status, 500);
        assert_eq!(click(&server, "3").send().await.status, 201);
        assert_eq!(shown(&server).await, first(2));
    }

    /// As after a crash between the commit and the layer's record.
    async fn a_click_whose_record_is_gone_finds_its_assessment(database: Database) {
        let server = serve(&database, &[]);
        let started: Value = click(&server, "k").send().await.json();
        drop(server);
        let pool = database.connect().await;
        if database.is_postgres {
            database.sql(&pool, "DELETE FROM idempotency_keys").await;
        } else {
            std::fs::remove_file(database.folder().join("keys.db")).expect("the keys are there");
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(database.folder().join(format!("keys.db{end}")));
            }
        }
        let server = serve(&database, &[]);
        let again = click(&server, "k").send().await;
        assert_eq!((again.status, again.json()), (200, started));
        let next = click(&server, "another").send().await;
        assert_eq!(next.status, 201);
        assert_eq!(shown(&server).await, first(2));
    }
}

//! The fault, and its absence: one event that is made twice, and a confirmation that is refused.

use example_server::{Database, Reply, Request, Server, on_both};
use serde_json::json;
use sqlx::AnyPool;
use tokio::task::JoinSet;

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
const OTHER: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn serve(database: &Database, options: &[&str]) -> Server {
    let arguments = database.arguments.iter().map(String::as_str);
    let arguments = arguments.chain(options.iter().copied());
    Server::start(env!("CARGO_BIN_EXE_events"), arguments)
}

fn post(server: &Server, query: &str, key: &str, title: &str) -> Request {
    let post = server.post(&format!("/api/events{query}")).key(key);
    post.json(&json!({ "client": "Ada", "title": title, "price": 50 }))
}

/// What "save" sends.
fn ask(server: &Server) -> Request {
    post(server, "", KEY, "Lesson")
}

/// What "on credit" sends.
fn confirm(server: &Server) -> Request {
    post(server, "?confirm_credit=1", KEY, "Lesson")
}

fn code(reply: &Reply) -> String {
    let document = reply.json();
    assert_eq!(document["success"], false, "{document}");
    assert!(document["error"]["message"].is_string(), "{document}");
    document["error"]["code"]
        .as_str()
        .expect("a code")
        .to_owned()
}

/// How many events there are, and what is left of the client's money.
async fn state(database: &Database) -> (i64, i64) {
    let pool = database.connect().await;
    let events = database.number(&pool, "SELECT count(*) FROM events");
    let money = "SELECT CAST(coalesce(sum(balance), 0) AS BIGINT) FROM clients";
    (events.await, database.number(&pool, money).await)
}

/// Where the layer's records are.
async fn keys(database: &Database) -> AnyPool {
    if database.is_postgres {
        return database.connect().await;
    }
    sqlx::any::install_default_drivers();
    let url = format!("sqlite://{}", database.folder().join("keys.db").display());
    AnyPool::connect(&url).await.expect("the keys are there")
}

/// Checks that no key was completed twice on a route, and returns how many were completed.
async fn no_duplicate_completed(database: &Database) -> i64 {
    let pool = keys(database).await;
    let twice = "SELECT count(*) FROM (
            SELECT key, route FROM idempotency_keys WHERE response_status IS NOT NULL
            GROUP BY key, route HAVING count(*) > 1) AS twice";
    assert_eq!(database.number(&pool, twice).await, 0);
    let completed = "SELECT count(*) FROM idempotency_keys WHERE response_status IS NOT NULL";
    database.number(&pool, completed).await
}

/// Lets everybody ask, but nobody insert an event.
async fn hold(database: &Database, pool: &AnyPool) -> sqlx::Transaction<'static, sqlx::Any> {
    if !database.is_postgres {
        let gate = pool.begin_with("BEGIN IMMEDIATE").await;
        return gate.expect("nobody else writes");
    }
    let mut gate = pool.begin().await.expect("a transaction");
    let lock = sqlx::query("LOCK TABLE events IN SHARE MODE");
    lock.execute(&mut *gate).await.expect("the table is there");
    gate
}

on_both! {
    /// The fault.
    async fn without_the_layer_two_posts_at_once_make_two_events(database: Database) {
        let server = serve(&database, &["--danger-without-layer"]);
        let posts: JoinSet<Reply> = (0..2).map(|_| confirm(&server).send()).collect();
        for reply in posts.join_all().await {
            assert_eq!(reply.status, 201);
        }
        assert_eq!(state(&database).await, (2, -100));
        assert_eq!(no_duplicate_completed(&database).await, 0);
    }

    /// The first one cannot end before the second one is answered.
    async fn of_two_posts_at_once_one_makes_the_event_and_one_is_told_so(database: Database) {
        let server = serve(&database, &[]);
        let pool = database.connect().await;
        let gate = hold(&database, &pool).await;
        let mut posts: JoinSet<Reply> = (0..2).map(|_| confirm(&server).send()).collect();
        let refused = posts.join_next().await.expect("two were sent");
        let refused = refused.expect("it is answered");
        assert_eq!((refused.status, code(&refused).as_str()), (409, "REQUEST_IN_PROGRESS"));
        assert!(refused.headers.contains_key("retry-after"));
        gate.rollback().await.expect("the gate opens");
        let created = posts.join_next().await.expect("one is left");
        let created = created.expect("it is answered");
        assert_eq!((created.status, created.is_replay()), (201, false));
        let again = confirm(&server).send().await;
        assert_eq!((again.status, again.is_replay()), (201, true));
        assert_eq!(again.body, created.body);
        assert_eq!(state(&database).await, (1, -50));
        assert_eq!(no_duplicate_completed(&database).await, 1);
    }

    async fn a_confirmation_runs_with_the_key_of_its_question(database: Database) {
        let server = serve(&database, &[]);
        for _ in 0..2 {
            let question = ask(&server).send().await;
            assert_eq!((question.status, code(&question).as_str()), (402, "CREDIT_NOT_CONFIRMED"));
            assert!(!question.is_replay());
            assert!(!question.headers.contains_key("x-idempotency-stored"));
            // Nothing was done, and nothing is left of the key.
            assert_eq!(state(&database).await, (0, 0));
            let pool = keys(&database).await;
            let records = "SELECT count(*) FROM idempotency_keys";
            assert_eq!(database.number(&pool, records).await, 0);
        }
        let event = confirm(&server).send().await;
        assert_eq!(event.status, 201, "{}", event.text());
        assert_eq!(event.headers["x-idempotency-stored"], "true");
        let again = confirm(&server).send().await;
        assert_eq!(again.headers["x-idempotency-replay"], "true");
        assert_eq!((again.status, &again.body), (201, &event.body));
        // The key has its event: the question is another request now.
        assert_eq!(code(&ask(&server).send().await), "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(state(&database).await, (1, -50));
        assert_eq!(no_duplicate_completed(&database).await, 1);
        let page = server.get("/").send().await.text();
        assert!(page.contains("<td>Lesson<td>50"), "{page}");
    }

    async fn messages_are_in_the_readers_language(database: Database) {
        let server = serve(&database, &[]);
        let question = ask(&server);
        let russian = question.clone().header("accept-language", "ru-RU,ru;q=0.9").send().await;
        assert!(russian.text().contains("Не хватает 50"), "{}", russian.text());
        let english = question.clone().send().await;
        assert!(english.text().contains("50 would be missing"), "{}", english.text());
        assert_eq!(confirm(&server).send().await.status, 201);
        // What the layer says, it says in both languages, too.
        let russian = question.clone().header("accept-language", "de, ru;q=0.9, en;q=0.8");
        let (russian, english) = (russian.send().await, question.send().await);
        assert_eq!(code(&russian), "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(code(&english), "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(russian.headers["content-language"], "ru");
        assert_eq!(english.headers["content-language"], "en");
        assert!(russian.text().contains("Этот ключ уже использован"), "{}", russian.text());
        assert!(english.body.is_ascii(), "{}", english.text());
    }

    async fn what_failed_may_run_again_with_its_key(database: Database) {
        let server = serve(&database, &[]);
        let failing = post(&server, "?confirm_credit=1", KEY, "").send().await;
        assert_eq!((failing.status, code(&failing).as_str()), (500, "FAILED"));
        let pool = keys(&database).await;
        let failed = "SELECT count(*) FROM idempotency_keys WHERE failure_category IS NOT NULL";
        assert_eq!(database.number(&pool, failed).await, 1);
        assert_eq!(confirm(&server).send().await.status, 201);
        assert_eq!(state(&database).await, (1, -50));
        assert_eq!(no_duplicate_completed(&database).await, 1);
    }

    async fn every_event_needs_a_key_that_is_a_uuid(database: Database) {
        let server = serve(&database, &[]);
        let event = json!({ "client": "Ada", "title": "Lesson", "price": 0 });
        let keyless = server.post("/api/events").json(&event).send().await;
        assert_eq!((keyless.status, code(&keyless).as_str()), (400, "IDEMPOTENCY_KEY_MISSING"));
        let other = post(&server, "", "click-1", "Lesson").send().await;
        assert_eq!((other.status, code(&other).as_str()), (400, "IDEMPOTENCY_KEY_INVALID"));
        for key in [KEY, OTHER] {
            let free = server.post("/api/events").key(key).json(&event).send().await;
            assert_eq!(free.status, 201, "{}", free.text());
        }
        assert_eq!(state(&database).await, (2, 0));
    }
}

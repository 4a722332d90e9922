//! The fault, and its absence: an invite that is used twice.

use example_server::{Database, Reply, Request, Server, on_both};
use serde_json::{Value, json};

const SECRET: &str = "a secret of 32 bytes or more ...";

fn serve(database: &Database, options: &[&str]) -> Server {
    let arguments = database.arguments.iter().map(String::as_str);
    let arguments = arguments.chain(options.iter().copied());
    Server::start(env!("CARGO_BIN_EXE_invites"), arguments)
}

/// Makes an invite that lasts for so many seconds.
async fn invite(server: &Server, seconds: u32) -> String {
    let wanted = json!({ "seconds": seconds });
    let made = server.post("/invites").json(&wanted).send().await.json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let page = server.get(&format!("/invites/{token}")).send().await;
    assert_eq!(page.status, 200);
    token
}

fn submission(server: &Server, token: &str, name: &str) -> Request {
    let form = json!({ "token": token, "name": name });
    server.post("/submissions").json(&form)
}

async fn submit(server: &Server, token: &str) -> Reply {
    submission(server, token, "Ada").send().await
}

async fn at_once(request: Request, count: usize) -> Vec<Reply> {
    let tasks: Vec<_> = (0..count).map(|_| request.clone().spawn()).collect();
    let mut replies = Vec::new();
    for task in tasks {
        replies.push(task.await.expect("there is an answer"));
    }
    replies.sort_by_key(|reply| reply.status);
    replies
}

/// How many submissions there are.
async fn saved(server: &Server) -> usize {
    let rows = server.get("/submissions").send().await.json();
    let rows = rows.as_array().expect("a list");
    let page = server.get("/").send().await.text();
    let is_shown = |row: &Value| page.contains(row["id"].as_str().expect("an id"));
    assert!(rows.iter().all(is_shown));
    rows.len()
}

/// What was said, with the status.
fn refusal(reply: &Reply) -> (u16, String) {
    let error = reply.json()["error"].as_str().map(str::to_owned);
    (reply.status, error.expect("it says what is wrong"))
}

fn refused(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// The original's body, with the mark.
fn marked(first: &Reply) -> Value {
    let mut body = first.json();
    body["idempotent"] = true.into();
    body
}

on_both! {
    /// The fault: the guard reads, and then writes.
    async fn without_the_layer_a_double_click_uses_an_invite_twice(database: Database) {
        let server = serve(&database, &["--danger-without-layer"]);
        let token = invite(&server, 60).await;
        let replies = at_once(submission(&server, &token, "Ada"), 2).await;
        assert_eq!((replies[0].status, replies[1].status), (201, 201));
        assert_ne!(replies[0].json()["id"], replies[1].json()["id"]);
        assert_eq!(saved(&server).await, 2);
        // Later it sees that the invite was used, but not by what.
        let late = submit(&server, &token).await;
        assert_eq!(refusal(&late), refused(409, "This invite was used"));
    }

    async fn a_double_click_gets_one_submission(database: Database) {
        let server = serve(&database, &[]);
        let token = invite(&server, 60).await;
        let replies = at_once(submission(&server, &token, "Ada"), 20).await;
        let (first, others) = replies.split_last().expect("there are twenty");
        assert_eq!(first.status, 201);
        for other in others {
            assert_eq!((other.status, other.json()), (200, marked(first)));
            assert!(other.is_replay());
        }
        assert_eq!(saved(&server).await, 1);
    }

    /// The form comes back with "back", and is filled in differently.
    async fn back_and_submit_again_gets_the_first_submission(database: Database) {
        let server = serve(&database, &[]);
        let token = invite(&server, 60).await;
        let first = submit(&server, &token).await;
        let again = submission(&server, &token, "Grace").send().await;
        assert_eq!((again.status, again.json()), (200, marked(&first)));
        assert_eq!(again.json()["name"], "Ada");
        assert_eq!(saved(&server).await, 1);
    }

    async fn an_invite_is_answered_by_its_state(database: Database) {
        let server = serve(&database, &[]);
        let unknown = refused(400, "Invalid invite token");
        assert_eq!(refusal(&submit(&server, "made-up").await), unknown);
        let form = json!({ "name": "Ada" });
        let tokenless = server.post("/submissions").json(&form).send().await;
        assert_eq!(refusal(&tokenless), unknown);

        let late = invite(&server, 0).await;
        let expired = refused(410, "This invite has expired");
        assert_eq!(refusal(&submit(&server, &late).await), expired);

        let used = invite(&server, 60).await;
        let old = invite(&server, 60).await;
        let revoked = invite(&server, 60).await;
        let first = submit(&server, &used).await;
        let pool = database.connect().await;
        let sql = format!(
            "UPDATE invites SET expires_at = 0 WHERE token = '{used}';
             UPDATE invites SET used_at = 1 WHERE token = '{old}';
             DELETE FROM invites WHERE token = '{revoked}'"
        );
        database.sql(&pool, &sql).await;
        let again = submit(&server, &used).await;
        assert_eq!((again.status, again.json()), (200, marked(&first)));
        let used = refused(409, "This invite was used");
        assert_eq!(refusal(&submit(&server, &old).await), used);
        assert_eq!(refusal(&submit(&server, &revoked).await), unknown);
        assert_eq!(saved(&server).await, 1);
    }

    async fn a_form_that_was_refused_leaves_the_invite_usable(database: Database) {
        let server = serve(&database, &[]);
        let token = invite(&server, 60).await;
        let nameless = submission(&server, &token, " ").send().await;
        assert_eq!(refusal(&nameless), refused(422, "Who are you?"));
        assert_eq!(submit(&server, &token).await.status, 201);
    }

    async fn a_signed_invite_needs_no_row(database: Database) {
        let options = ["--keys", "signed", "--secret", SECRET];
        let server = serve(&database, &options);
        let token = invite(&server, 60).await;
        let pool = database.connect().await;
        assert_eq!(database.number(&pool, "SELECT count(*) FROM invites").await, 0);
        // Another process knows it by the secret.
        drop(server);
        let server = serve(&database, &options);
        let first = submit(&server, &token).await;
        assert_eq!(first.status, 201);
        let again = submit(&server, &token).await;
        assert_eq!((again.status, again.json()), (200, marked(&first)));
        let tampered = format!("{}{}", &token[..75], if token.ends_with('A') { 'B' } else { 'A' });
        let unknown = refused(400, "Invalid invite token");
        assert_eq!(refusal(&submit(&server, &tampered).await), unknown);
        assert_eq!(saved(&server).await, 1);
    }

    /// As after a crash between the commit and the layer's record.
    async fn an_invite_whose_record_is_gone_finds_its_submission(database: Database) {
        let server = serve(&database, &[]);
        let token = invite(&server, 60).await;
        let first = submit(&server, &token).await;
        drop(server);
        if database.is_postgres {
            let pool = database.connect().await;
            database.sql(&pool, "DELETE FROM idempotency_keys").await;
        } else {
            std::fs::remove_file(database.folder().join("keys.db")).expect("the keys are there");
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(database.folder().join(format!("keys.db{end}")));
            }
        }
        let server = serve(&database, &[]);
        for _ in 0..2 {
            let again = submit(&server, &token).await;
            assert_eq!((again.status, again.json()), (200, marked(&first)));
        }
        assert_eq!(saved(&server).await, 1);
    }
}

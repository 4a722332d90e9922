//! In the transaction that an idempotency layer hands out and commits.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
    routing::post,
};
use sqlx_once::{Error, Once, Retry, RowClaim, Series, claim_row, insert_or_fetch, migrate};
use tower::ServiceExt;
use tower_idempotency::{IdempotencyLayer, Principal};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

use crate::support::{Db, run};

const TABLE: &str = "
    CREATE TABLE entries (number BIGINT PRIMARY KEY, note TEXT UNIQUE);
    CREATE TABLE invites (used BIGINT NOT NULL);
    INSERT INTO invites VALUES (0)";

const INSERT: &str = "INSERT INTO entries (number, note) VALUES ($1, 'a')
    ON CONFLICT (note) DO NOTHING RETURNING number";
const FETCH: &str = "SELECT number FROM entries WHERE note = 'a'";
const CLAIM: &str = "UPDATE invites SET used = 1 WHERE used = 0 RETURNING used";
const WHY: &str = "SELECT used FROM invites";

macro_rules! handler {
    ($name:ident, $tx:ty, $connection:ty) => {
        /// Does everything in the transaction of the layer, and fails if it is told to.
        async fn $name(mut tx: $tx, body: String) -> Result<String, StatusCode> {
            let connection: &mut $connection = &mut tx;
            let work = async {
                let number = Series::new("a", "")?.next_gapless(&mut *connection).await?;
                let once = insert_or_fetch(
                    &mut *connection,
                    sqlx::query_as::<_, (i64,)>(INSERT).bind(number),
                    sqlx::query_as(FETCH),
                );
                assert_eq!(once.await?, Once::Inserted((number,)));
                let claim = claim_row(
                    &mut *connection,
                    sqlx::query_as::<_, (i64,)>(CLAIM),
                    sqlx::query_as::<_, (i64,)>(WHY),
                );
                assert_eq!(claim.await?, RowClaim::Won((1,)));
                let retry = Retry::on("entries_pkey").or_on("entries.number");
                let mut tries = retry.first_pause(Duration::ZERO).tries();
                let mut next = number;
                loop {
                    let mut attempt = tries.begin(&mut *connection).await?;
                    let insert = sqlx::query("INSERT INTO entries (number) VALUES ($1)");
                    let outcome = insert.bind(next).execute(&mut *attempt).await;
                    if tries.end(attempt, outcome).await?.is_some() {
                        return Ok::<_, Error>(format!("{number} {next}"));
                    }
                    next += 1;
                }
            };
            let done = work.await.unwrap();
            if body == "fail" {
                return Err(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Ok(done)
        }
    };
}

handler!(
    in_postgres,
    tower_idempotency_postgres::Tx,
    sqlx::PgConnection
);
handler!(
    in_sqlite,
    tower_idempotency_sqlite::Tx,
    sqlx::SqliteConnection
);

/// What failed is undone; what succeeded is kept, and is not done again.
async fn is_done_once(db: &Db, router: Router) {
    let send = async |key: &'static str, body: &'static str| {
        let request = Request::post("/").header("idempotency-key", key);
        let request = request.body(Body::from(body)).unwrap();
        let reply = router.clone().oneshot(request).await.unwrap();
        let status = reply.status();
        let body = to_bytes(reply.into_body(), 1024).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(send("x", "fail").await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(db.count("entries").await, 0);
    for _ in 0..2 {
        assert_eq!(send("k", "").await, (StatusCode::OK, "1 2".to_owned()));
    }
    assert_eq!(db.count("entries").await, 2);
}

#[test]
fn everything_works_in_the_transaction_of_the_postgres_store() {
    run(async {
        let db = Db::postgres().await;
        db.sql(TABLE).await;
        migrate(&db.pool).await.unwrap();
        let store = PostgresStore::connect(&db.url).await.unwrap();
        store.migrate().await.unwrap();
        let layer = IdempotencyLayer::new(store.transactional(), Principal::public()).unwrap();
        let router = Router::new().route("/", post(in_postgres));
        is_done_once(&db, router.layer(layer.required())).await;
    });
}

#[test]
fn everything_works_in_the_transaction_of_the_sqlite_store() {
    run(async {
        let db = Db::sqlite().await;
        db.sql(TABLE).await;
        migrate(&db.pool).await.unwrap();
        let store = SqliteStore::open(&db.place).await.unwrap();
        let layer = IdempotencyLayer::new(store.transactional(), Principal::public()).unwrap();
        let router = Router::new().route("/", post(in_sqlite));
        is_done_once(&db, router.layer(layer.required())).await;
    });
}

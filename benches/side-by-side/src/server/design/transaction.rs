//! The least that a key costs in the handler's own transaction: `BEGIN`, lock and look-up are one
//! message, the handler's row is the next, and record and `COMMIT` are the last. Its connections go
//! from one request to the next by hand, since a pool asks each that comes back whether it still
//! is. No token, no mark, no retention, no fingerprint that is compared, no replay.
//!
//! Nobody could use it: who finds a record or a lock is turned away.

use std::{
    fmt::Write,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, ensure};
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, Row,
    postgres::{PgConnectOptions, PgRow},
};
use tokio::sync::Semaphore;

use super::{
    kept::Kept,
    keyed::{self, Keyed},
};
use crate::{
    Arguments,
    handler::{Failed, PATH, insert_payment, paid},
    pool,
};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS kept (
    id bytea PRIMARY KEY,
    fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    status smallint NOT NULL,
    headers bytea NOT NULL,
    body bytea NOT NULL
)";

/// By name, so that a message of several statements can run them without planning them again.
const PREPARE: &str = "PREPARE look (bytea) AS SELECT FROM kept WHERE id = $1;
PREPARE keep (bytea, bytea, smallint, bytea, bytea) AS
    INSERT INTO kept (id, fingerprint, status, headers, body) VALUES ($1, $2, $3, $4, $5)";

struct Connections {
    idle: Mutex<Vec<PgConnection>>,
    /// One for each connection.
    permits: Semaphore,
}

pub(crate) async fn router(body: Bytes, arguments: &Arguments) -> anyhow::Result<Router> {
    let tables = pool::open(arguments).await?;
    sqlx::query(TABLE).execute(&tables).await?;
    tables.close().await;
    let connections = Arc::new(Connections::open(arguments).await?);
    Ok(Router::new()
        .route(PATH, post(pay))
        .with_state((body, connections)))
}

impl Connections {
    async fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(&arguments.database_url)?;
        let mut idle = Vec::new();
        for _ in 0..arguments.pool {
            let mut connection = PgConnection::connect_with(&options).await?;
            connection.execute(sqlx::raw_sql(PREPARE)).await?;
            idle.push(connection);
        }
        let permits = Semaphore::new(idle.len());
        let idle = Mutex::new(idle);
        Ok(Self { idle, permits })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn pay(
    State((body, connections)): State<(Bytes, Arc<Connections>)>,
    request: Request,
) -> Result<Response, Failed> {
    let (keyed, request) = keyed::read(request).await?;
    let request = request.into_body().collect().await?.to_bytes();
    let Some(keyed) = keyed else {
        return Ok(StatusCode::BAD_REQUEST.into_response());
    };
    let _permit = connections.permits.acquire().await?;
    let taken = connections.idle().pop();
    let mut connection = taken.context("more permits than connections")?;
    let response = pay_once(&mut connection, &keyed, &request, body).await?;
    connections.idle().push(connection);
    Ok(response)
}

async fn pay_once(
    connection: &mut PgConnection,
    keyed: &Keyed,
    request: &[u8],
    body: Bytes,
) -> anyhow::Result<Response> {
    let id = keyed.id();
    if !begin(connection, &id).await? {
        connection.execute("ROLLBACK").await?;
        return Ok(StatusCode::CONFLICT.into_response());
    }
    insert_payment(connection, request).await?;
    let (kept, response) = Kept::take(paid(body)).await?;
    keep_and_commit(connection, &id, keyed, &kept).await?;
    Ok(response)
}

/// Tells whether the key is free.
async fn begin(connection: &mut PgConnection, id: &[u8; 32]) -> anyhow::Result<bool> {
    let mut lock = [0; 8];
    lock.copy_from_slice(&id[..8]);
    let lock = i64::from_be_bytes(lock);
    let mut message = format!("BEGIN; SELECT pg_try_advisory_xact_lock('{lock}'); EXECUTE look(");
    push_bytes(&mut message, id);
    message.push(')');
    let rows: Vec<PgRow> = connection
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(message)))
        .await?;
    // The lock's row, and the record's if there is one.
    let locked = rows.first().context("no answer")?.try_get(0)?;
    Ok(locked && rows.len() == 1)
}

async fn keep_and_commit(
    connection: &mut PgConnection,
    id: &[u8; 32],
    keyed: &Keyed,
    kept: &Kept,
) -> anyhow::Result<()> {
    let mut message = String::with_capacity(256 + 2 * (kept.headers.len() + kept.body.len()));
    message.push_str("EXECUTE keep(");
    push_bytes(&mut message, id);
    message.push(',');
    push_bytes(&mut message, &keyed.fingerprint);
    write!(message, ",'{}',", kept.status)?;
    push_bytes(&mut message, &kept.headers);
    message.push(',');
    push_bytes(&mut message, &kept.body);
    message.push_str("); COMMIT");
    let done = connection
        .execute(sqlx::raw_sql(AssertSqlSafe(message)))
        .await?;
    ensure!(done.rows_affected() == 1, "the record was not kept");
    Ok(())
}

fn push_bytes(message: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    message.push_str("'\\x");
    for byte in bytes {
        message.push(DIGITS[usize::from(byte >> 4)]);
        message.push(DIGITS[usize::from(byte & 15)]);
    }
    message.push('\'');
}

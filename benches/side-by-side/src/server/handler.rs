//! The handlers, and what all of them answer.

use axum::{Router, extract::State, response::IntoResponse, response::Response, routing::post};
use bytes::Bytes;
use http::{StatusCode, header::CONTENT_TYPE};
use sqlx::{PgConnection, PgPool};
use tower_idempotency::Idempotency;
use tower_idempotency_postgres::{Effect, Tx};

pub(crate) const PATH: &str = "/payments";

/// Answers at once.
pub(crate) fn plain(body: Bytes) -> Router {
    Router::new().route(PATH, post(pay)).with_state(body)
}

/// Writes a row in a transaction of its own.
pub(crate) fn business(body: Bytes, pool: PgPool) -> Router {
    Router::new()
        .route(PATH, post(pay_with_row))
        .with_state((body, pool))
}

/// Writes a row between `BEGIN` and `COMMIT`, as every handler does that writes more than one.
pub(crate) fn in_transaction(body: Bytes, pool: PgPool) -> Router {
    Router::new()
        .route(PATH, post(pay_in_transaction))
        .with_state((body, pool))
}

/// Writes a row and keeps the response in one transaction.
pub(crate) fn fenced(body: Bytes, pool: PgPool) -> Router {
    Router::new()
        .route(PATH, post(pay_fenced))
        .with_state((body, pool))
}

/// Writes a row and keeps the response in one statement.
pub(crate) fn in_one_statement(body: Bytes) -> Router {
    Router::new()
        .route(PATH, post(pay_in_one_statement))
        .with_state(body)
}

/// Writes a row in the transaction that it is given.
pub(crate) fn transactional(body: Bytes) -> Router {
    Router::new()
        .route(PATH, post(pay_transactional))
        .with_state(body)
}

async fn pay(State(body): State<Bytes>, request: Bytes) -> Response {
    drop(request);
    paid(body)
}

async fn pay_with_row(
    State((body, pool)): State<(Bytes, PgPool)>,
    request: Bytes,
) -> Result<Response, Failed> {
    let mut connection = pool.acquire().await?;
    insert_payment(&mut connection, &request).await?;
    Ok(paid(body))
}

async fn pay_in_transaction(
    State((body, pool)): State<(Bytes, PgPool)>,
    request: Bytes,
) -> Result<Response, Failed> {
    let mut transaction = pool.begin().await?;
    insert_payment(&mut transaction, &request).await?;
    transaction.commit().await?;
    Ok(paid(body))
}

async fn pay_fenced(
    State((body, pool)): State<(Bytes, PgPool)>,
    idempotency: Idempotency,
    request: Bytes,
) -> Result<Response, Failed> {
    let mut transaction = pool.begin().await?;
    insert_payment(&mut transaction, &request).await?;
    let response = to_keep(&body);
    idempotency
        .complete_and_commit(transaction, &response)
        .await?;
    Ok(paid(body))
}

async fn pay_in_one_statement(
    State(body): State<Bytes>,
    idempotency: Idempotency,
    request: Bytes,
) -> Result<Response, Failed> {
    let effect = Effect::new(payment(&request));
    let response = to_keep(&body);
    idempotency.complete_and_commit(effect, &response).await?;
    Ok(paid(body))
}

/// The answer to a payment, with a body that can be read without waiting.
fn to_keep(body: &Bytes) -> http::Response<Bytes> {
    let (parts, _) = paid(body.clone()).into_parts();
    http::Response::from_parts(parts, body.clone())
}

async fn pay_transactional(
    State(body): State<Bytes>,
    mut tx: Tx,
    request: Bytes,
) -> Result<Response, Failed> {
    let insert = payment(&request);
    insert.execute(&mut *tx).await?;
    Ok(paid(body))
}

/// The answer to a payment.
pub(crate) fn paid(body: Bytes) -> Response {
    (
        StatusCode::CREATED,
        [(CONTENT_TYPE, "application/json")],
        body,
    )
        .into_response()
}

/// Writes the handler's own row.
pub(crate) async fn insert_payment(
    connection: &mut PgConnection,
    request: &[u8],
) -> sqlx::Result<()> {
    payment(request).execute(connection).await.map(drop)
}

fn payment(request: &[u8]) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
    sqlx::query("INSERT INTO payments (amount, note) VALUES ($1, $2)")
        .bind(100_i64)
        .bind(String::from_utf8_lossy(request).into_owned())
}

/// Any error, answered with 500: the driver counts it.
pub(crate) struct Failed(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{:#}", self.0)).into_response()
    }
}

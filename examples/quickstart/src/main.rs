//! A payment server whose retries are safe.

#![expect(clippy::print_stdout, reason = "it prints what to paste")]

mod page;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::{Json, Router, response::IntoResponse, routing::get};
use clap::Parser;
use serde::{Deserialize, Serialize};
use sqlx::AnyPool;
use tokio::net::TcpListener;
use tower_idempotency::{BoxStore, IdempotencyLayer, Principal};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

/// A payment server whose retries are safe.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Keeps payments and keys in this Postgres: `postgres://user:password@host/database`.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keeps payments and keys in this SQLite file, unless there is a Postgres.
    #[arg(long, value_name = "PATH", default_value = "quickstart.db")]
    file: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt::init();
    let arguments = Arguments::parse();
    let (store, url) = open(&arguments).await?;
    let payments = payments(&url).await?;

    // The whole of it: a store, who the caller is, and a layer around the route.
    let idempotency = IdempotencyLayer::builder(store, Principal::from_fn(user))
        .lease(Duration::from_secs(10))
        .build()?;
    let app = Router::new()
        .route("/payments", get(list).post(pay))
        .layer(idempotency.optional())
        .route("/payments/{id}", get(show))
        .with_state(payments);
    // Only for the page that shows all this: your own service does without.
    let app = page::around(app);

    let listener = TcpListener::bind(arguments.listen)
        .await
        .context("cannot listen there: choose another place with --listen")?;
    print_usage(listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    // Payments that are under way outlive their connections.
    let drained = tokio::time::timeout(Duration::from_secs(30), idempotency.drain());
    drained.await.context("some payments are still under way")
}

/// Opens the store, and says where the payments go.
async fn open(arguments: &Arguments) -> Result<(BoxStore, String)> {
    if let Some(url) = &arguments.database_url {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        return Ok((BoxStore::new(store), url.clone()));
    }
    let store = SqliteStore::open(&arguments.file).await?;
    Ok((BoxStore::new(store), format!("sqlite://{}", arguments.file)))
}

async fn payments(url: &str) -> Result<AnyPool> {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(url).await?;
    let table = "CREATE TABLE IF NOT EXISTS payments (
        id TEXT PRIMARY KEY, amount BIGINT NOT NULL, currency TEXT NOT NULL)";
    sqlx::query(table).execute(&pool).await?;
    Ok(pool)
}

/// Whom a key belongs to. A real service takes this from its authentication layer.
fn user(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::to_owned)
}

#[derive(Deserialize, Serialize)]
struct Order {
    amount: i64,
    currency: String,
}

#[derive(Serialize)]
struct Payment {
    id: String,
    #[serde(flatten)]
    order: Order,
}

async fn pay(State(pool): State<AnyPool>, Json(order): Json<Order>) -> impl IntoResponse {
    let id = uuid::Uuid::new_v4().to_string();
    let payment = Payment { id, order };
    sqlx::query("INSERT INTO payments (id, amount, currency) VALUES ($1, $2, $3)")
        .bind(&payment.id)
        .bind(payment.order.amount)
        .bind(&payment.order.currency)
        .execute(&pool)
        .await
        .map_err(internal)?;
    let at = [(header::LOCATION, format!("/payments/{}", payment.id))];
    Ok::<_, StatusCode>((StatusCode::CREATED, at, Json(payment)))
}

async fn list(State(pool): State<AnyPool>) -> Result<Json<Vec<Payment>>, StatusCode> {
    let all = sqlx::query_as("SELECT id, amount, currency FROM payments ORDER BY id");
    let rows: Vec<Row> = all.fetch_all(&pool).await.map_err(internal)?;
    Ok(Json(rows.into_iter().map(payment).collect()))
}

async fn show(State(pool): State<AnyPool>, Path(id): Path<String>) -> impl IntoResponse {
    let one = sqlx::query_as("SELECT id, amount, currency FROM payments WHERE id = $1").bind(id);
    let row: Option<Row> = one.fetch_optional(&pool).await.map_err(internal)?;
    row.map(|row| Json(payment(row)))
        .ok_or(StatusCode::NOT_FOUND)
}

type Row = (String, i64, String);

fn payment((id, amount, currency): Row) -> Payment {
    let order = Order { amount, currency };
    Payment { id, order }
}

/// A 500 is not kept: the next request with the key runs again.
fn internal(_: sqlx::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

fn print_usage(addr: SocketAddr) {
    let key = uuid::Uuid::new_v4();
    let body = r#"-H 'Content-Type: application/json' -d '{"amount":1200,"currency":"EUR"}'"#;
    let headers = format!("-H 'Authorization: Bearer alice' -H 'Idempotency-Key: {key}'");
    let curl = format!("curl -i http://{addr}/payments {headers} {body}");
    println!("listening on http://{addr} (open it in a browser, or stay here)\n");
    println!("Pay, then send the same again:\n\n{curl}\n\n{curl}\n");
    println!("One payment: curl http://{addr}/payments");
}

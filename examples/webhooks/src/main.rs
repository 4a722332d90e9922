//! A webhook receiver whose deliveries run once.

#![expect(clippy::print_stdout, reason = "it prints what to paste")]

mod hooks;
mod page;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use axum::{Router, body::Body};
use clap::Parser;
use sqlx::AnyPool;
use tokio::net::TcpListener;
use tower_idempotency::BoxStore;
use tower_idempotency_inbox::{Deliveries, Inbox, Provider, RetrySchedule, Trigger};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

/// A webhook receiver whose deliveries run once, with retries, dead letters and redelivery.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3005")]
    listen: SocketAddr,
    /// Keeps everything in this Postgres: `postgres://user:password@host/database`.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keeps everything in this SQLite file, unless there is a Postgres.
    #[arg(long, value_name = "PATH", default_value = "webhooks.db")]
    file: String,
    /// The longest pause before a failed delivery is tried for the second time.
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    first_retry_ms: u64,
    /// How long a delivery waits after the process that runs it has died, at most.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    lease_ms: u64,
    /// Leaves the inbox out: duplicates run.
    #[arg(long)]
    danger_without_inbox: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt::init();
    let arguments = Arguments::parse();
    let (store, deliveries, url) = open(&arguments).await?;
    deliveries.migrate().await?;
    let shop = shop(&url).await?;

    let inbox = Inbox::builder(deliveries, store)
        .retry(RetrySchedule::new(
            Duration::from_millis(arguments.first_retry_ms),
            Duration::from_secs(60),
            8,
        ))
        .lease(Duration::from_millis(arguments.lease_ms))
        .build()?;
    let hooks = if arguments.danger_without_inbox {
        hooks::orders(&shop).merge(hooks::github(&shop))
    } else {
        let github = Trigger::new("github").provider(Provider::GitHub);
        // Whoever sends orders puts a key into the body: three places are looked at.
        let orders = Trigger::new("orders");
        hooks::orders(&shop)
            .layer(inbox.layer(orders)?)
            .merge(hooks::github(&shop).layer(inbox.layer(github)?))
    };
    // What is due again goes through the same handlers and layers, but not through what checks
    // signatures: that belongs around `hooks` here below, outside of what the worker gets.
    let worker = inbox.start::<_, Body, Body>(hooks.clone());
    let app = Router::new()
        .merge(hooks)
        .merge(hooks::products(&shop))
        .merge(page::page(&inbox))
        // A real service puts its authentication of operators around these and the page.
        .nest("/operator", inbox.operator_routes());

    let listener = TcpListener::bind(arguments.listen)
        .await
        .context("cannot listen there: choose another place with --listen")?;
    print_usage(listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    let ended = async {
        worker.stop().await;
        inbox.drain().await;
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
    ended.context("some deliveries are still under way, and will run again")
}

/// Opens the stores of keys and of deliveries, and says where the shop goes.
async fn open(arguments: &Arguments) -> Result<(BoxStore, Deliveries, String)> {
    if let Some(url) = &arguments.database_url {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        let deliveries = Deliveries::postgres(store.pool().clone());
        return Ok((BoxStore::new(store), deliveries, url.clone()));
    }
    let store = SqliteStore::open(&arguments.file).await?;
    let deliveries = Deliveries::sqlite(store.writer().clone());
    let url = format!("sqlite://{}", arguments.file);
    Ok((BoxStore::new(store), deliveries, url))
}

async fn shop(url: &str) -> Result<AnyPool> {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(url).await?;
    for table in [
        "CREATE TABLE IF NOT EXISTS products (name TEXT PRIMARY KEY)",
        "CREATE TABLE IF NOT EXISTS shipments (
            id TEXT PRIMARY KEY, product TEXT NOT NULL, customer TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS pushes (id TEXT PRIMARY KEY, branch TEXT NOT NULL)",
        "INSERT INTO products (name) VALUES ('chair') ON CONFLICT (name) DO NOTHING",
    ] {
        sqlx::query(table).execute(&pool).await?;
    }
    Ok(pool)
}

fn print_usage(addr: SocketAddr) {
    let key = uuid::Uuid::new_v4().simple().to_string();
    let order = |name: &str, more: &str| {
        let json = format!(r#"{{"messageId":"{name}-{key}","customer":"ada",{more}}}"#);
        let kind = "-H 'Content-Type: application/json'";
        format!("curl -i http://{addr}/hooks/orders {kind} -d '{json}'")
    };
    let once = order("once", r#""product":"chair""#);
    println!("listening on http://{addr}/\n\nDeliver an order, and the same again:\n");
    println!("{once}\n\n{once}\n");
    println!("One that fails twice:\n");
    println!("{}\n", order("twice", r#""product":"chair","fails":2"#));
    println!("One whose product is unknown, which makes a dead letter:\n");
    println!("{}\n", order("dead", r#""product":"lamp""#));
    println!("Make the product known, then deliver the letter again from the page:\n");
    println!("curl -i -X PUT http://{addr}/products/lamp\n");
    println!("What was shipped: curl http://{addr}/shipments");
}

//! An event on credit: the server asks, and the answer comes with the same key.

#![expect(clippy::print_stdout, reason = "it prints what to try")]

mod events;
mod messages;
mod open;
mod page;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use axum::{Router, routing::get};
use clap::Parser;
use tokio::net::TcpListener;
use tower_idempotency::{
    IdempotencyLayer, KeyFormat, Principal, ProblemRenderer, ResponseHeaders, Retention,
};

use crate::open::open;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps a calendar of events that clients pay for, in advance or on credit.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3003")]
    listen: SocketAddr,
    /// Keeps everything in this Postgres: `postgres://user:password@host/database`.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keeps everything in SQLite files in this folder, unless there is a Postgres. Default: a
    /// temporary folder.
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
    /// Serves without the idempotency layer, to show what then goes wrong.
    #[arg(long)]
    danger_without_layer: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt::init();
    let arguments = Arguments::parse();
    let (store, app) = open(&arguments).await?;

    // The layer: a store, who the caller is, and how its answers look. Here everybody is one user;
    // a real service names them. The headers and both retentions are the defaults, written down.
    let messages = ProblemRenderer::envelope().language("ru", messages::russian);
    let marks = ResponseHeaders::named("x-idempotency-replay").stored("x-idempotency-stored");
    let idempotency = IdempotencyLayer::builder(store, Principal::public())
        .key_format(KeyFormat::UuidV4)
        .problems(messages)
        .response_headers(marks)
        .retention(Retention::For(7 * DAY))
        .failed_retention(Retention::For(DAY))
        .build()?;
    let mut events = Router::new().route("/api/events", get(events::list).post(events::create));
    if !arguments.danger_without_layer {
        events = events.layer(idempotency.required());
    }
    let router = events.route("/", get(events::show)).with_state(app);

    let listener = TcpListener::bind(arguments.listen)
        .await
        .context("cannot listen there: choose another place with --listen")?;
    print_usage(listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    let drained = tokio::time::timeout(Duration::from_secs(30), idempotency.drain());
    drained.await.context("some requests are still under way")
}

fn print_usage(addr: SocketAddr) {
    println!("listening on http://{addr}\n\nOpen it and save an event. Or send a question:\n");
    let event = r#"{"client":"Ada","title":"Lesson","price":50}"#;
    let post = |query: &str| {
        println!(
            "curl -i 'http://{addr}/api/events{query}' \
             -H 'Idempotency-Key: 8e03978e-40d5-43e8-bc93-6894a57f9324' \
             -H 'Content-Type: application/json' -H 'Accept-Language: ru' -d '{event}'\n"
        );
    };
    post("");
    println!("and say yes to it, twice:\n");
    post("?confirm_credit=1");
    println!("See what goes wrong without: --danger-without-layer");
}

//! A form that can be sent again after its answer was lost.

#![expect(clippy::print_stdout, reason = "it prints what to try")]

mod open;
mod page;
mod save;
mod upload;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use sqlx_once::Once;
use tokio::net::TcpListener;
use tower_idempotency::{Idempotency, IdempotencyLayer, KeySource, Principal, WaitPolicy};

use crate::{
    open::{App, open},
    save::Refused,
    upload::Upload,
};

/// Keeps a diary of clinical practice, one entry for each form.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3002")]
    listen: SocketAddr,
    /// Keeps everything but uploads in this Postgres: `postgres://user:password@host/database`.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keeps uploads here, and SQLite files unless there is a Postgres. Default: a temporary folder.
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
    /// What stands against a second entry, to show what goes wrong without.
    #[arg(long, value_enum, default_value = "all")]
    protection: Protection,
}

#[derive(Clone, Copy, Eq, PartialEq, ValueEnum)]
enum Protection {
    /// The layer, and the token in the row.
    All,
    /// The token in the row alone.
    Token,
    /// As it was: nothing.
    None,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt::init();
    let arguments = Arguments::parse();
    let (store, app) = open(&arguments).await?;

    // The layer: a store, who the caller is, where the token of a form is, and how long a second
    // sending waits for the first. Here everybody is one user; a real service names them.
    let idempotency = IdempotencyLayer::builder(store, Principal::public())
        .key_sources([
            KeySource::idempotency_key(),
            KeySource::json_pointer("/token"),
        ])
        .wait(WaitPolicy::at_most(Duration::from_secs(20)))
        .build()?;
    let mut practicas = Router::new().route("/practicas", get(list).post(submit));
    if arguments.protection == Protection::All {
        // Optional: forms from before there were tokens go on working.
        practicas = practicas.layer(idempotency.optional());
    }
    let router = practicas
        .route("/", get(show))
        .route("/client.js", get(page::client))
        .with_state(app);

    let listener = TcpListener::bind(arguments.listen)
        .await
        .context("cannot listen there: choose another place with --listen")?;
    print_usage(listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    // Forms whose senders have left are still being saved.
    let drained = tokio::time::timeout(Duration::from_secs(30), idempotency.drain());
    drained.await.context("some forms are still being saved")
}

#[derive(Deserialize)]
struct Form {
    /// Made when the form was opened. Old forms have none.
    token: Option<String>,
    student: String,
    day: String,
    patient: String,
    attachment: String,
}

#[derive(Serialize)]
struct Practica {
    id: String,
    student: String,
    day: String,
    number: i64,
}

#[derive(Serialize)]
struct Saved {
    success: bool,
    id: String,
}

/// What "save" does.
///
/// The layer runs it in a task of its own, so a sender who leaves does not stop it, and answers the
/// next sending of the same form. What is below holds without it, too, and for as long as the row is
/// there: when the layer's record has expired, or was lost.
async fn submit(
    State(app): State<App>,
    key: Option<Idempotency>,
    Json(form): Json<Form>,
) -> Result<Response, Refused> {
    let token = match &key {
        Some(key) => Some(key.key().as_str()),
        None if app.protection == Protection::None => None,
        None => form.token.as_deref(),
    };
    // Before the expensive part: most duplicates end here.
    if let Some(id) = app.find(token).await? {
        return Ok(saved(StatusCode::OK, id));
    }
    let upload = Upload::write(&app.uploads, &form.attachment).await?;
    match app.save(token, &form, upload.name()).await? {
        Once::Inserted(id) => {
            upload.keep();
            Ok(saved(StatusCode::CREATED, id))
        }
        // The upload was wasted, and is removed.
        Once::Existing(id) => Ok(saved(StatusCode::OK, id)),
    }
}

fn saved(status: StatusCode, id: String) -> Response {
    let success = true;
    (status, Json(Saved { success, id })).into_response()
}

async fn list(State(app): State<App>) -> Result<Json<Vec<Practica>>, Refused> {
    Ok(Json(app.all().await?))
}

async fn show(State(app): State<App>) -> Result<Html<String>, Refused> {
    Ok(Html(page::render(&app.all().await?)))
}

fn print_usage(addr: SocketAddr) {
    println!(
        "listening on http://{addr}\n\nOpen it and double-click the button. Or send this twice:\n"
    );
    let form = r#"{"student":"ada","day":"2025-03-01","patient":"p1","attachment":"scan"}"#;
    println!(
        "curl -i http://{addr}/practicas -H 'Idempotency-Key: form-1' \
         -H 'Content-Type: application/json' -d '{form}'\n"
    );
    println!("See what goes wrong without: --protection none");
}

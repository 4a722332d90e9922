//! Links that can be used once, until they expire.

#![expect(clippy::print_stdout, reason = "it prints what to try")]

mod issue;
mod open;
mod page;
mod submit;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
    response::Html,
    routing::{get, post},
};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tower_idempotency::{
    FingerprintPolicy, IdempotencyLayer, KeySource, Principal, Problem, ProblemCode,
    ProblemRenderer, Stored, WaitPolicy,
};

use crate::{issue::Invites, open::App};

/// Issues invites, and takes one submission for each.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3004")]
    listen: SocketAddr,
    /// Keeps everything in this Postgres: `postgres://user:password@host/database`.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keeps everything in SQLite files in this folder, unless there is a Postgres. Default: a
    /// temporary folder.
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
    /// What an invite is.
    #[arg(long, value_enum, default_value = "table")]
    keys: Keys,
    /// Signs invites with this secret of 32 bytes or more. Default: a new one with each start.
    #[arg(long)]
    secret: Option<String>,
    /// Serves without the layer, with a guard that reads and then writes: an invite counts twice.
    #[arg(long, conflicts_with = "keys")]
    danger_without_layer: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Keys {
    /// A row of a table, which can be revoked.
    Table,
    /// A signature, of which nothing is kept until it is used.
    Signed,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt::init();
    let arguments = Arguments::parse();
    let (store, app) = open::open(&arguments).await?;

    // The layer: where the key is, and who has issued it. Whatever else comes with the key of an
    // invite, it is the same submission; and one that was refused may be sent again.
    let idempotency = IdempotencyLayer::builder(store, Principal::public())
        .key_sources([KeySource::json_pointer("/token")])
        .issued_keys(app.invites.keys())
        .fingerprint(FingerprintPolicy::default().off())
        .stored(Stored::success_only())
        .problems(ProblemRenderer::from_fn(problem))
        .wait(WaitPolicy::at_most(Duration::from_secs(20)))
        .build()?;
    let mut submissions = Router::new();
    if arguments.danger_without_layer {
        submissions = submissions.route("/submissions", post(submit::unguarded));
    } else {
        let submit = post(submit::once).layer(idempotency.required());
        submissions = submissions.route("/submissions", submit);
    }
    let router = submissions
        .route("/submissions", get(list))
        .route("/invites", post(invite))
        .route("/invites/{token}", get(form))
        .route("/", get(show))
        .with_state(app);

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

/// Says what is wrong in this service's own words, and in its own shape.
fn problem(problem: &Problem) -> Response<Bytes> {
    let error = match problem.code {
        ProblemCode::IdempotencyKeyMissing
        | ProblemCode::IdempotencyKeyInvalid
        | ProblemCode::IdempotencyKeyUnknown => "Invalid invite token",
        ProblemCode::IdempotencyKeyExpired => "This invite has expired",
        ProblemCode::IdempotencyKeyUsed => "This invite was used",
        _ => problem.code.title(),
    };
    let document = json!({ "error": error, "code": problem.code.as_str() });
    let mut response = Response::new(Bytes::from(document.to_string()));
    *response.status_mut() = problem.code.status();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[derive(Deserialize)]
struct Wanted {
    /// How many seconds the invite lasts. Default: a week.
    seconds: Option<u32>,
}

#[derive(Serialize)]
struct Invite {
    token: String,
    link: String,
}

/// Makes an invite.
async fn invite(
    State(app): State<App>,
    Json(wanted): Json<Wanted>,
) -> Result<(StatusCode, Json<Invite>), StatusCode> {
    let seconds = wanted.seconds.unwrap_or(7 * 24 * 60 * 60);
    let life = Duration::from_secs(seconds.into());
    let token = app.invites.issue(life).await.map_err(internal)?;
    let link = format!("/invites/{token}");
    Ok((StatusCode::CREATED, Json(Invite { token, link })))
}

#[derive(Serialize)]
struct Submission {
    id: String,
    name: String,
}

async fn list(State(app): State<App>) -> Result<Json<Vec<Submission>>, StatusCode> {
    app.all().await.map(Json).map_err(internal)
}

async fn show(State(app): State<App>) -> Result<Html<String>, StatusCode> {
    let all = app.all().await.map_err(internal)?;
    Ok(Html(page::render(&all)))
}

/// Shows the form of an invite; opening it does not use it.
async fn form() -> Html<String> {
    Html(page::form())
}

/// A 500 is not kept: the invite can be used again.
fn internal(error: impl std::error::Error + 'static) -> StatusCode {
    tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
    StatusCode::INTERNAL_SERVER_ERROR
}

fn print_usage(addr: SocketAddr) {
    println!(
        "listening on http://{addr}\n\nOpen it, make an invite, and use it twice. Or paste:\n"
    );
    println!(
        "token=$(curl -s http://{addr}/invites -H 'Content-Type: application/json' -d '{{}}' \
         | sed 's/.*\"token\":\"\\([^\"]*\\).*/\\1/')"
    );
    println!(
        "for i in 1 2; do curl -i http://{addr}/submissions -H 'Content-Type: application/json' \
         -d \"{{\\\"token\\\":\\\"$token\\\",\\\"name\\\":\\\"Ada\\\"}}\"; echo; done\n"
    );
    println!("See what goes wrong without: --danger-without-layer");
}

//! Numbers that are handed out once, and a button that can be clicked twice.

#![expect(clippy::print_stdout, reason = "it prints what to try")]

mod page;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use axum::{Json, Router, extract::State, http::StatusCode, response::Html, routing::get};
use clap::{Parser, ValueEnum};
use example_database::{Database, temporary_folder};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};
use sqlx_once::{Once, Series, insert_or_fetch};
use tokio::net::TcpListener;
use tower_idempotency::{BoxStore, Idempotency, IdempotencyLayer, Principal, WaitPolicy};

/// Starts assessments, each with a number of its own.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3001")]
    listen: SocketAddr,
    /// Keeps everything in this Postgres: `postgres://user:password@host/database`.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keeps everything in SQLite files in this folder, unless there is a Postgres. Default: a
    /// temporary folder.
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
    /// How an assessment gets its number.
    #[arg(long, value_enum, default_value = "gapless")]
    numbers: Numbers,
    /// Serves without the idempotency layer, to show what then goes wrong.
    #[arg(long)]
    without_layer: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Numbers {
    /// A counter row for each year: no gaps, and one waits for the other.
    Gapless,
    /// A sequence for each year: gaps where something failed, and nobody waits.
    Sequence,
    /// As it was: `count + 1`, to show what goes wrong.
    Count,
}

#[derive(Clone)]
struct App {
    database: Database,
    numbers: Numbers,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt::init();
    let arguments = Arguments::parse();
    let (store, app) = open(&arguments).await?;

    // The layer: a store, who the caller is, and how long a second click waits for the first.
    // Here everybody is one user; a real service names them.
    let idempotency = IdempotencyLayer::builder(store, Principal::public())
        .wait(WaitPolicy::at_most(Duration::from_secs(20)))
        .build()?;
    let mut assessments = Router::new().route("/assessments", get(list).post(start));
    if !arguments.without_layer {
        assessments = assessments.layer(idempotency.optional());
    }
    let router = assessments.route("/", get(show)).with_state(app);

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

#[derive(Deserialize)]
struct Start {
    patient: String,
}

#[derive(Serialize)]
struct Assessment {
    number: String,
    patient: String,
}

/// What a click on "Start assessment" does.
async fn start(
    State(app): State<App>,
    key: Option<Idempotency>,
    Json(Start { patient }): Json<Start>,
) -> Result<(StatusCode, Json<Assessment>), StatusCode> {
    let token = key.as_ref().map(|key| key.key().as_str());
    let started = app.start(token, &patient).await.map_err(internal)?;
    let status = match started {
        Once::Inserted(_) => StatusCode::CREATED,
        Once::Existing(_) => StatusCode::OK,
    };
    Ok((status, Json(started.into_row())))
}

impl App {
    /// Starts one assessment for a token, and takes one number for it.
    async fn start(
        &self,
        token: Option<&str>,
        patient: &str,
    ) -> Result<Once<Assessment>, sqlx_once::Error> {
        let mut transaction = self.database.begin_to_write().await?;
        let number = self.number(&mut transaction).await?;
        // The layer answers a second click. If this process dies between the commit and that,
        // the click after the crash finds the row by the same token.
        let insert = "INSERT INTO assessments (number, patient, token) VALUES ($1, $2, $3)
            ON CONFLICT (token) DO NOTHING RETURNING number, patient";
        let fetch = "SELECT number, patient FROM assessments WHERE token = $1";
        let started = insert_or_fetch(
            &mut transaction,
            sqlx::query_as(insert)
                .bind(number)
                .bind(patient)
                .bind(token),
            sqlx::query_as(fetch).bind(token),
        )
        .await?;
        if started.is_inserted() {
            transaction.commit().await?;
        } else {
            // The number goes back.
            transaction.rollback().await?;
        }
        Ok(started)
    }

    async fn number(&self, transaction: &mut AnyConnection) -> Result<String, sqlx_once::Error> {
        let year = if self.database.is_postgres {
            "SELECT to_char(now(), 'YYYY')"
        } else {
            "SELECT strftime('%Y', 'now')"
        };
        let year: String = sqlx::query_scalar(year)
            .fetch_one(&mut *transaction)
            .await?;
        let series = Series::new("ASM", year)?;
        let number = match self.numbers {
            Numbers::Gapless => series.next_gapless(transaction).await?,
            Numbers::Sequence => series.next_with_gaps(transaction).await?,
            Numbers::Count => {
                let count = sqlx::query_scalar("SELECT count(*) + 1 FROM assessments");
                count.fetch_one(transaction).await?
            }
        };
        Ok(series.label(number, 3))
    }

    async fn all(&self) -> sqlx::Result<Vec<Assessment>> {
        let all = sqlx::query_as("SELECT number, patient FROM assessments ORDER BY number");
        all.fetch_all(&self.database.pool).await
    }
}

impl FromRow<'_, AnyRow> for Assessment {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("number")?,
            patient: row.try_get("patient")?,
        })
    }
}

async fn list(State(app): State<App>) -> Result<Json<Vec<Assessment>>, StatusCode> {
    app.all().await.map(Json).map_err(internal)
}

async fn show(State(app): State<App>) -> Result<Html<String>, StatusCode> {
    let all = app.all().await.map_err(internal)?;
    Ok(Html(page::render(&all)))
}

/// A 500 is not kept: the next request with the key runs again.
fn internal(error: impl std::error::Error + 'static) -> StatusCode {
    tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
    StatusCode::INTERNAL_SERVER_ERROR
}

/// Opens the store, and makes the tables.
async fn open(arguments: &Arguments) -> Result<(BoxStore, App)> {
    let folder = arguments.folder.clone();
    let folder = folder.unwrap_or_else(|| temporary_folder("assessments"));
    let url = arguments.database_url.as_deref();
    let (store, database) = example_database::open(url, &folder, &[TABLE]).await?;
    sqlx_once::migrate(&database.pool).await?;
    let numbers = arguments.numbers;
    Ok((store, App { database, numbers }))
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS assessments (
    number TEXT CONSTRAINT assessments_pkey PRIMARY KEY,
    patient TEXT NOT NULL CONSTRAINT assessments_patient_is_named CHECK (patient <> ''),
    token TEXT CONSTRAINT assessments_token_key UNIQUE)";

fn print_usage(addr: SocketAddr) {
    println!(
        "listening on http://{addr}\n\nOpen it and double-click the button. Or send this twice:\n"
    );
    println!(
        "curl -i http://{addr}/assessments -H 'Idempotency-Key: click-1' \
         -H 'Content-Type: application/json' -d '{{\"patient\":\"Ada\"}}'\n"
    );
    println!("See what goes wrong without: --numbers count --without-layer");
}

//! Opening the store, and making the tables.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use sqlx::{AnyPool, any::AnyPoolOptions};
use tower_idempotency::BoxStore;
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

use crate::{Arguments, Protection};

/// What handlers use.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) pool: AnyPool,
    pub(crate) is_postgres: bool,
    pub(crate) uploads: PathBuf,
    pub(crate) protection: Protection,
}

pub(crate) async fn open(arguments: &Arguments) -> Result<(BoxStore, App)> {
    sqlx::any::install_default_drivers();
    let folder = arguments.folder.clone().unwrap_or_else(temporary_folder);
    let uploads = folder.join("uploads");
    std::fs::create_dir_all(&uploads)?;
    let (store, pool, is_postgres) = if let Some(url) = &arguments.database_url {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        (BoxStore::new(store), AnyPool::connect(url).await?, true)
    } else {
        let store = SqliteStore::open(folder.join("keys.db")).await?;
        let url = format!("sqlite://{}?mode=rwc", folder.join("app.db").display());
        // One writer at a time: a queue is fairer than SQLite's lock.
        let pool = AnyPoolOptions::new().max_connections(1);
        let pool = pool.acquire_timeout(Duration::from_secs(30));
        (BoxStore::new(store), pool.connect(&url).await?, false)
    };
    for table in TABLES {
        sqlx::query(table).execute(&pool).await?;
    }
    let app = App {
        pool,
        is_postgres,
        uploads,
        protection: arguments.protection,
    };
    Ok((store, app))
}

/// The token's index is partial: old forms have none. It has no end: a window would open the gap
/// again when it closes.
const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS practicas (
        id TEXT CONSTRAINT practicas_pkey PRIMARY KEY,
        student TEXT NOT NULL,
        day TEXT NOT NULL,
        number BIGINT NOT NULL,
        patient TEXT NOT NULL CONSTRAINT practicas_patient_key UNIQUE,
        upload TEXT NOT NULL,
        token TEXT,
        CONSTRAINT practicas_number_key UNIQUE (student, day, number))",
    "CREATE UNIQUE INDEX IF NOT EXISTS practicas_token_key
        ON practicas (token) WHERE token IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS notices (
        practica TEXT NOT NULL CONSTRAINT notices_pkey PRIMARY KEY)",
];

fn temporary_folder() -> PathBuf {
    std::env::temp_dir().join(format!("forms-{}", std::process::id()))
}

//! Opening the store, and making the tables.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use sqlx::{AnyPool, any::AnyPoolOptions};
use tower_idempotency::BoxStore;
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

use crate::Arguments;

/// What handlers use.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) pool: AnyPool,
    pub(crate) is_postgres: bool,
}

pub(crate) async fn open(arguments: &Arguments) -> Result<(BoxStore, App)> {
    sqlx::any::install_default_drivers();
    let (store, pool, is_postgres) = if let Some(url) = &arguments.database_url {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        (BoxStore::new(store), AnyPool::connect(url).await?, true)
    } else {
        let folder = arguments.folder.clone().unwrap_or_else(temporary_folder);
        std::fs::create_dir_all(&folder)?;
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
    Ok((store, App { pool, is_postgres }))
}

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS clients (
        name TEXT CONSTRAINT clients_pkey PRIMARY KEY,
        balance BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS events (
        id TEXT CONSTRAINT events_pkey PRIMARY KEY,
        client TEXT NOT NULL,
        title TEXT NOT NULL CONSTRAINT events_title_is_there CHECK (title <> ''),
        price BIGINT NOT NULL CONSTRAINT events_price_is_none_or_more CHECK (price >= 0),
        token TEXT CONSTRAINT events_token_key UNIQUE)",
];

fn temporary_folder() -> PathBuf {
    std::env::temp_dir().join(format!("events-{}", std::process::id()))
}

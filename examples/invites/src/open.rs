//! Opening the store, and making the tables.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use sqlx::{AnyPool, any::AnyPoolOptions};
use tower_idempotency::{BoxStore, SignedKeys};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;
use uuid::Uuid;

use crate::{
    Arguments, Keys,
    issue::{InviteTable, Invites},
    submit::Between,
};

/// What handlers use.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) pool: AnyPool,
    pub(crate) invites: Invites,
    pub(crate) between: Arc<Between>,
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
    let invites = match arguments.keys {
        Keys::Table => Invites::Table(InviteTable {
            pool: pool.clone(),
            is_postgres,
        }),
        Keys::Signed => Invites::Signed(SignedKeys::new("invites", secret(arguments))?),
    };
    let between = Arc::default();
    let app = App {
        pool,
        invites,
        between,
    };
    Ok((store, app))
}

/// `used_at` is from the time before the layer. A submission's token is unique, so that even one
/// whose answer was lost in a crash is not saved twice.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS invites (
        token TEXT CONSTRAINT invites_pkey PRIMARY KEY,
        expires_at BIGINT NOT NULL,
        used_at BIGINT)",
    "CREATE TABLE IF NOT EXISTS submissions (
        id TEXT CONSTRAINT submissions_pkey PRIMARY KEY,
        name TEXT NOT NULL,
        invite TEXT NOT NULL,
        token TEXT CONSTRAINT submissions_token_key UNIQUE)",
];

/// A real service takes its secret from where it keeps the others.
fn secret(arguments: &Arguments) -> String {
    let fresh = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    arguments.secret.clone().unwrap_or_else(fresh)
}

fn temporary_folder() -> PathBuf {
    std::env::temp_dir().join(format!("invites-{}", std::process::id()))
}

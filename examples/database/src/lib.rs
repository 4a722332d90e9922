//! Where an example keeps its records and its rows: a Postgres, or two SQLite files in a folder.
//!
//! A service of one's own has one database, and needs none of this.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use sqlx::{Any, AnyPool, Transaction, any::AnyPoolOptions};
use tower_idempotency::BoxStore;
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

/// What handlers use.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Database {
    /// The connections.
    pub pool: AnyPool,
    /// Whether it is a Postgres, and no SQLite file.
    pub is_postgres: bool,
}

impl Database {
    /// Begins a transaction that will write.
    ///
    /// SQLite refuses to write what was read before somebody else wrote, so there the transaction
    /// takes the lock for writing at once.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn begin_to_write(&self) -> sqlx::Result<Transaction<'static, Any>> {
        let begin = if self.is_postgres {
            "BEGIN"
        } else {
            "BEGIN IMMEDIATE"
        };
        self.pool.begin_with(begin).await
    }
}

/// Opens the Postgres at `url`, or else SQLite files in `folder`, and makes `tables`.
///
/// # Errors
///
/// If the database cannot be reached, or the folder or a table not be made.
pub async fn open(
    url: Option<&str>,
    folder: &Path,
    tables: &[&'static str],
) -> Result<(BoxStore, Database)> {
    sqlx::any::install_default_drivers();
    let (store, pool) = if let Some(url) = url {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        (BoxStore::new(store), AnyPool::connect(url).await?)
    } else {
        std::fs::create_dir_all(folder)?;
        let store = SqliteStore::open(folder.join("keys.db")).await?;
        let url = format!("sqlite://{}?mode=rwc", folder.join("app.db").display());
        // One writer at a time: a queue is fairer than SQLite's lock.
        let pool = AnyPoolOptions::new().max_connections(1);
        let pool = pool.acquire_timeout(Duration::from_secs(30));
        (BoxStore::new(store), pool.connect(&url).await?)
    };
    for table in tables {
        sqlx::query(*table).execute(&pool).await?;
    }
    let is_postgres = url.is_some();
    Ok((store, Database { pool, is_postgres }))
}

/// Returns a folder of `example`'s own for as long as this process lives.
#[must_use]
pub fn temporary_folder(example: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{example}-{}", std::process::id()))
}

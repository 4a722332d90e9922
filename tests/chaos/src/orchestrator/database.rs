//! The database of a run: a server or a file of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use chaos::{Content, EffectRow, Kept, StoreKind};
use fault_proxy::FaultProxy;
use sqlx::{Executor, PgPool, Row, SqlitePool, postgres::PgPoolOptions};
use throwaway_postgres::{Binaries, Server};
use tokio::task::spawn_blocking;
use tower_idempotency_core::{BoxStore, ListPage, Record, Store};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

use crate::folder;

const PAGE: u32 = 500;

/// Besides those of the servers' pools.
const MOST_CONNECTIONS: u32 = 20;

/// Where the records and the effects are.
#[derive(Debug)]
pub(crate) enum Database {
    Postgres(Arc<Behind>),
    Sqlite { path: PathBuf },
}

/// A server, and a proxy in front of it for each of those who use it.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) server: Server,
    pub(crate) proxies: Vec<FaultProxy>,
}

impl Database {
    /// Starts the database and makes its tables, for so many servers.
    pub(crate) async fn start(
        kind: StoreKind,
        folder: &Path,
        servers: u32,
        seed: u64,
    ) -> Result<Self> {
        match kind {
            StoreKind::Sqlite => Self::sqlite(folder).await,
            _ => Self::postgres(servers, seed).await,
        }
    }

    async fn postgres(servers: u32, seed: u64) -> Result<Self> {
        let target = folder::target()?;
        let server = spawn_blocking(move || {
            let binaries = Binaries::provide(None, &target.join("postgres"))?;
            // Few enough that the nemesis can use them up.
            let most = (MOST_CONNECTIONS + 20 * servers).to_string();
            // A log that is written late, but for what somebody waits for, loses more in a crash.
            let settings = [
                ("max_connections", most.as_str()),
                ("wal_writer_delay", "10s"),
            ];
            Server::start_with(&binaries, &target.join("tmp"), &settings)
        });
        let server = server.await??;
        let store = PostgresStore::connect(&server.url()).await?;
        store.migrate().await?;
        // No unique constraint: a second effect must show, not fail.
        let table = "CREATE TABLE chaos_effects (
            id bigserial PRIMARY KEY, operation text NOT NULL, attempt bigint NOT NULL,
            execution text NOT NULL)";
        store.pool().execute(table).await?;
        store.pool().close().await;
        let address = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let mut proxies = Vec::new();
        for number in 0..servers {
            proxies.push(FaultProxy::start_seeded(address, seed ^ u64::from(number)).await?);
        }
        Ok(Self::Postgres(Arc::new(Behind { server, proxies })))
    }

    async fn sqlite(folder: &Path) -> Result<Self> {
        let path = folder.join("chaos.db");
        let store = SqliteStore::open(&path).await?;
        let table = "CREATE TABLE chaos_effects (
            id INTEGER PRIMARY KEY, operation TEXT NOT NULL, attempt INTEGER NOT NULL,
            execution TEXT NOT NULL) STRICT";
        store.writer().execute(table).await?;
        store.writer().close().await;
        Ok(Self::Sqlite { path })
    }

    /// Returns what the server in place `slot` takes for its store.
    pub(crate) fn url(&self, slot: usize) -> String {
        match self {
            Self::Postgres(behind) => {
                let address = behind.proxies[slot].addr();
                // Without the question whether to encrypt, which no proxy could read through.
                format!("postgres://postgres@{address}/postgres?sslmode=disable")
            }
            Self::Sqlite { path } => format!("sqlite:{}", path.display()),
        }
    }

    /// Returns the server and its proxies, if there are any.
    pub(crate) const fn behind(&self) -> Option<&Arc<Behind>> {
        match self {
            Self::Postgres(behind) => Some(behind),
            Self::Sqlite { .. } => None,
        }
    }

    /// Reads all records and all effects.
    pub(crate) async fn read(&self) -> Result<(BTreeMap<String, Kept>, Vec<EffectRow>)> {
        match self {
            Self::Postgres(behind) => {
                let pool = PgPoolOptions::new().max_connections(2);
                let pool = pool.connect(&behind.server.url()).await?;
                let records = records(&BoxStore::new(PostgresStore::new(pool.clone()))).await?;
                Ok((records, postgres_effects(&pool).await?))
            }
            Self::Sqlite { path } => {
                let store = SqliteStore::open(path).await?;
                let effects = sqlite_effects(store.writer()).await?;
                Ok((records(&BoxStore::new(store)).await?, effects))
            }
        }
    }
}

impl Behind {
    /// Runs what blocks beside everything else.
    pub(crate) async fn on_server<T: Send + 'static>(
        self: &Arc<Self>,
        act: fn(&Server) -> Result<T>,
    ) -> Result<T> {
        let behind = Arc::clone(self);
        spawn_blocking(move || act(&behind.server)).await?
    }
}

async fn records(store: &BoxStore) -> Result<BTreeMap<String, Kept>> {
    let mut records = BTreeMap::new();
    let mut page = ListPage::default();
    page.limit = PAGE;
    loop {
        let infos = store.list(&page).await?;
        for info in &infos {
            let record = store.lookup(&info.id).await?;
            let record = record.context("a record that was listed is there")?;
            records.insert(info.key.as_str().to_owned(), kept(&record));
        }
        match infos.last() {
            Some(last) => page.after = Some(last.id),
            None => return Ok(records),
        }
    }
}

fn kept(record: &Record) -> Kept {
    let answer = record.response.as_ref().map(|response| {
        let headers = response.headers().iter().cloned().collect();
        let body = response
            .body()
            .map(|body| body.to_vec())
            .unwrap_or_default();
        Content {
            status: response.status().as_u16(),
            headers: crate::http_call::kept_headers(&headers),
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    });
    Kept {
        state: record.info.state.as_str().to_owned(),
        attempt: record.info.attempt,
        answer,
    }
}

const EFFECTS: &str = "SELECT operation, attempt, execution FROM chaos_effects ORDER BY id";

async fn postgres_effects(pool: &PgPool) -> Result<Vec<EffectRow>> {
    let rows = sqlx::query(EFFECTS).fetch_all(pool).await?;
    rows.iter()
        .map(|row| effect_row(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        .collect()
}

async fn sqlite_effects(pool: &SqlitePool) -> Result<Vec<EffectRow>> {
    let rows = sqlx::query(EFFECTS).fetch_all(pool).await?;
    rows.iter()
        .map(|row| effect_row(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        .collect()
}

fn effect_row(key: String, attempt: i64, execution: String) -> Result<EffectRow> {
    Ok(EffectRow {
        key,
        attempt: u32::try_from(attempt)?,
        execution,
    })
}

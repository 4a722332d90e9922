//! The throw-away Postgres server, with a database for each contender.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use throwaway_postgres::{Binaries, Server};
use tokio::runtime::Runtime;

/// What Postgres keeps its data on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Medium {
    /// The folder of `--data-dir`.
    Disk,
    /// Memory, where flushing costs nothing.
    Tmpfs,
}

impl Medium {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Tmpfs => "tmpfs",
        }
    }
}

/// The same for all: durable commits, and no checkpoint within a round.
pub(crate) const SETTINGS: [(&str, &str); 9] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "1GB"),
    ("min_wal_size", "1GB"),
    ("max_wal_size", "6GB"),
    ("checkpoint_timeout", "1d"),
    ("max_connections", "1500"),
    ("autovacuum", "on"),
];

/// `min_wal_size`, in files of 16 MiB.
const LOG_FILES: u32 = 64;

pub(crate) struct Database {
    server: Server,
    runtime: Runtime,
    admin: PgConnection,
}

impl Database {
    pub(crate) fn start(binaries: &Binaries, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let server = Server::start_with(binaries, folder, &SETTINGS)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let admin = runtime.block_on(PgConnection::connect(&server.url()))?;
        let mut database = Self {
            server,
            runtime,
            admin,
        };
        database.make_log_files()?;
        Ok(database)
    }

    /// Has the log's files made that `min_wal_size` asks to keep, as a server has them that has run
    /// for a while. Whoever is the first to need a new one waits until 16 MiB of zeros are flushed,
    /// so on a fresh server, whoever writes faster would wait more often.
    fn make_log_files(&mut self) -> Result<()> {
        let make = format!(
            "DO $$ BEGIN FOR file IN 1..{LOG_FILES} LOOP \
             PERFORM pg_logical_emit_message(false, '', ''); PERFORM pg_switch_wal(); \
             END LOOP; END $$"
        );
        self.run(&make)?;
        // Those that are no longer needed become the next ones.
        self.checkpoint()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.server.folder()
    }

    pub(crate) const fn port(&self) -> u16 {
        self.server.port()
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.server.pid()
    }

    pub(crate) fn version(&mut self) -> Result<String> {
        self.text("SHOW server_version")
    }

    /// Removes the database of this name.
    pub(crate) fn drop(&mut self, name: &str) -> Result<()> {
        self.run(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))
    }

    /// Makes an empty database in place of the one of this name, and returns its address.
    pub(crate) fn fresh(&mut self, name: &str) -> Result<String> {
        self.drop(name)?;
        self.run(&format!("CREATE DATABASE \"{name}\""))?;
        Ok(self.url(name))
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port())
    }

    /// Empties all tables of the database of this name.
    pub(crate) fn empty(&mut self, name: &str) -> Result<()> {
        let sql = "SELECT 'TRUNCATE ' || string_agg(format('%I', tablename), ', ') \
                   || ' RESTART IDENTITY' FROM pg_tables WHERE schemaname = 'public'";
        self.within(name, async |connection| {
            let row = sqlx::query(sql).fetch_one(&mut *connection).await?;
            if let Some(truncate) = row.try_get::<Option<String>, _>(0)? {
                sqlx::raw_sql(AssertSqlSafe(truncate))
                    .execute(connection)
                    .await?;
            }
            Ok(())
        })
    }

    /// Runs statements in the database of this name.
    pub(crate) fn run_in(&mut self, name: &str, sql: &str) -> Result<()> {
        self.within(name, async |connection| {
            let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
            sql.execute(connection).await?;
            Ok(())
        })
    }

    /// Returns the one text that a query in the database of this name finds.
    pub(crate) fn text_in(&mut self, name: &str, sql: &str) -> Result<String> {
        let mut found = String::new();
        self.within(name, async |connection| {
            let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
            found = query.fetch_one(connection).await?.try_get(0)?;
            Ok(())
        })?;
        Ok(found)
    }

    /// Writes all dirty pages, so that no round pays for another one's.
    pub(crate) fn checkpoint(&mut self) -> Result<()> {
        self.run("CHECKPOINT")
    }

    /// Lets a long turn write as much log as it will without a checkpoint, until `false` is told.
    pub(crate) fn defer_checkpoints(&mut self, defer: bool) -> Result<()> {
        self.run(if defer {
            "ALTER SYSTEM SET max_wal_size = '40GB'"
        } else {
            "ALTER SYSTEM RESET max_wal_size"
        })?;
        self.run("SELECT pg_reload_conf()")
    }

    /// Returns the position of the log in bytes, and of the last checkpoint.
    pub(crate) fn position(&mut self) -> Result<(u64, String)> {
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, \
                   checkpoint_lsn::text FROM pg_control_checkpoint()";
        let row = self
            .runtime
            .block_on(sqlx::query(sql).fetch_one(&mut self.admin))?;
        let bytes: i64 = row.try_get(0)?;
        Ok((bytes.unsigned_abs(), row.try_get(1)?))
    }

    fn within(
        &mut self,
        name: &str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<()>,
    ) -> Result<()> {
        let url = self.url(name);
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&url).await?;
            work(&mut connection).await?;
            Ok(connection.close().await?)
        })
    }

    fn run(&mut self, sql: &str) -> Result<()> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let done = self.runtime.block_on(query.execute(&mut self.admin));
        done.map(drop).with_context(|| sql.to_owned())
    }

    fn text(&mut self, sql: &'static str) -> Result<String> {
        let row = self
            .runtime
            .block_on(sqlx::query(sql).fetch_one(&mut self.admin))?;
        Ok(row.try_get(0)?)
    }
}

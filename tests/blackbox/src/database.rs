//! A place for the records of one fixture, gone when its last process is.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions,
};

use crate::{Pooled, StoreKind};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// What the records of a fixture are in.
#[derive(Debug)]
#[non_exhaustive]
pub enum Database {
    /// In the process itself.
    Memory,
    /// In a folder with one database file.
    Sqlite {
        /// The folder.
        folder: PathBuf,
    },
    /// In a schema of a server.
    Postgres {
        /// The server, as a superuser.
        server: String,
        /// The schema.
        schema: String,
        /// What stands between the fixture server and Postgres.
        way: Way,
    },
}

/// How a fixture server gets to Postgres.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Way {
    /// Straight.
    #[default]
    Direct,
    /// Through a proxy, at this URL.
    Proxy(String),
    /// Through a pooler that gives each transaction another connection.
    Pooler(Arc<Pooled>),
    /// Through one that also knows about prepared statements.
    PoolerWithPreparedStatements(Arc<Pooled>),
    /// Through a pooler that the fixture is told nothing about.
    HiddenPooler(Arc<Pooled>),
}

impl Database {
    /// Makes a fresh one.
    pub(crate) async fn fresh(kind: StoreKind) -> Self {
        match kind {
            StoreKind::Memory => Self::Memory,
            StoreKind::Sqlite => {
                let folder = std::env::temp_dir().join(unique_name());
                fs::create_dir_all(&folder).expect("the temporary folder can be written");
                Self::Sqlite { folder }
            }
            StoreKind::Postgres => {
                let server = std::env::var("TEST_DATABASE_URL").expect(
                    "run `cargo xtask test`, or set TEST_DATABASE_URL to a server for tests",
                );
                Self::on_server(&server, Way::Direct).await
            }
            StoreKind::Pooled => {
                let pooler = tokio::task::spawn_blocking(|| Pooled::start(&[]));
                let pooler = Arc::new(pooler.await.expect("a pooler can be started"));
                Self::on_server(&Pooled::server_url(), Way::Pooler(pooler)).await
            }
        }
    }

    /// Makes a fresh schema on the server behind `url`.
    pub(crate) async fn on_server(url: &str, way: Way) -> Self {
        let schema = unique_name();
        let mut admin = connect(url, None).await.expect("the server can be reached");
        execute(&mut admin, format!("CREATE SCHEMA {schema}")).await;
        admin.close().await.expect("the connection can be closed");
        Self::Postgres {
            server: url.to_owned(),
            schema,
            way,
        }
    }

    /// Returns what the fixture server is told about its store.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let store = |store: String| vec!["--store".to_owned(), store];
        match self {
            Self::Memory => store("memory".to_owned()),
            Self::Sqlite { folder } => store(format!("sqlite:{}", file_in(folder).display())),
            Self::Postgres {
                server,
                schema,
                way,
            } => match way {
                Way::Direct => store(in_schema(server, schema)),
                Way::Proxy(url) => store(in_schema(url, schema)),
                Way::Pooler(pooler) => {
                    [store(pooler.url()), pooled(schema, "transaction")].concat()
                }
                Way::PoolerWithPreparedStatements(pooler) => {
                    [store(pooler.url()), pooled(schema, "prepared")].concat()
                }
                Way::HiddenPooler(pooler) => {
                    [store(pooler.url()), pooled(schema, "session")].concat()
                }
            },
        }
    }

    /// Returns the database file of a SQLite fixture.
    ///
    /// # Panics
    ///
    /// If it is on another store.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Sqlite { folder } => file_in(folder),
            _ => panic!("only a SQLite fixture has a file"),
        }
    }

    /// Opens a connection to the fixture's schema, beside the server's own.
    ///
    /// # Panics
    ///
    /// If the fixture is not on Postgres, or Postgres cannot be reached.
    pub async fn postgres(&self) -> PgConnection {
        let Self::Postgres { server, schema, .. } = self else {
            panic!("only a Postgres fixture can be connected to")
        };
        let connected = connect(server, Some(schema)).await;
        connected.expect("the server can be reached")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match self {
            Self::Memory => {}
            Self::Sqlite { folder } => {
                let _ = fs::remove_dir_all(folder);
            }
            Self::Postgres { server, schema, .. } => drop_schema(server.clone(), schema.clone()),
        }
    }
}

fn unique_name() -> String {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // Process ids come again in containers; a schema that a killed run has left must not matter.
    let noise = uuid::Uuid::new_v4().simple().to_string();
    format!("blackbox_{}_{number}_{}", std::process::id(), &noise[..8])
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("idempotency.db")
}

/// Names the schema in the search path.
fn in_schema(url: &str, schema: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}options=-csearch_path%3D{schema}")
}

/// Names the schema to the store itself, since a pooler passes on no search path.
fn pooled(schema: &str, pooling: &str) -> Vec<String> {
    ["--schema", schema, "--pooling", pooling]
        .map(str::to_owned)
        .to_vec()
}

async fn connect(url: &str, schema: Option<&str>) -> sqlx::Result<PgConnection> {
    let mut options = PgConnectOptions::from_str(url)?.disable_statement_logging();
    if let Some(schema) = schema {
        options = options.options([("search_path", schema)]);
    }
    PgConnection::connect_with(&options).await
}

async fn execute(connection: &mut PgConnection, sql: String) {
    let done = connection.execute(AssertSqlSafe(sql)).await;
    done.expect("the statement succeeds");
}

/// Drops the schema in a thread of its own, since a runtime cannot wait inside of itself.
///
/// A server that is gone took its schemas along, so failures do not matter.
fn drop_schema(server: String, schema: String) {
    let dropping = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let bound = std::time::Duration::from_secs(5);
            let dropped = async {
                let mut admin = connect(&server, None).await?;
                let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
                admin.execute(AssertSqlSafe(sql)).await?;
                admin.close().await
            };
            let _ = tokio::time::timeout(bound, dropped).await;
        });
        Ok::<_, std::io::Error>(())
    });
    let _ = dropping.join();
}

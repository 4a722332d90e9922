//! A database of its own for each test, and a handler that does as it is told.

use std::{
    collections::HashMap,
    path::PathBuf,
    process,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, Response, StatusCode},
    routing::post,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Notify;
use tower::ServiceExt;
use tower_idempotency::BoxStore;
use tower_idempotency_inbox::{
    Deliveries, Delivery, DeliveryPage, DeliveryState, Inbox, InboxBuilder, Provider,
    RetrySchedule, Trigger, Worker,
};
use tower_idempotency_postgres::PostgresStore;
use tower_idempotency_sqlite::SqliteStore;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database that goes when the test ends.
pub(crate) struct Database {
    pub(crate) deliveries: Deliveries,
    pub(crate) pool: Pool,
    store: Arc<dyn Fn() -> BoxStore + Send + Sync>,
}

pub(crate) enum Pool {
    Postgres { pool: PgPool, schema: String },
    Sqlite { store: SqliteStore, folder: PathBuf },
}

/// Runs a test on either database.
pub(crate) fn on_each<F: Future<Output = ()>>(test: impl Fn(Database) -> F) {
    tower_idempotency_testkit::run(async {
        test(sqlite().await).await;
        test(postgres().await).await;
    });
}

pub(crate) async fn sqlite() -> Database {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tower-idempotency-inbox-{}-{number}", process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let store = SqliteStore::open(folder.join("inbox.db")).await.unwrap();
    let deliveries = Deliveries::sqlite(store.writer().clone());
    deliveries.migrate().await.unwrap();
    let keys = store.clone();
    Database {
        deliveries,
        pool: Pool::Sqlite { store, folder },
        store: Arc::new(move || BoxStore::new(keys.clone())),
    }
}

fn server() -> PgConnectOptions {
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("run `cargo xtask test`, or set TEST_DATABASE_URL to a server for tests");
    PgConnectOptions::from_str(&url)
        .expect("TEST_DATABASE_URL is a URL")
        .disable_statement_logging()
}

pub(crate) async fn postgres() -> Database {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let schema = format!("inbox_{}_{number}", process::id());
    let mut admin = PgConnection::connect_with(&server()).await.unwrap();
    let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    let create = sqlx::raw_sql(AssertSqlSafe(sql));
    create.execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    let options = server().options([("search_path", schema.as_str())]);
    let pool = PgPoolOptions::new().max_connections(8);
    let pool = pool.connect_with(options).await.unwrap();
    let keys = PostgresStore::new(pool.clone());
    keys.migrate().await.unwrap();
    let deliveries = Deliveries::postgres(pool.clone());
    deliveries.migrate().await.unwrap();
    Database {
        deliveries,
        pool: Pool::Postgres { pool, schema },
        store: Arc::new(move || BoxStore::new(keys.clone())),
    }
}

impl Database {
    /// An inbox that retries within milliseconds.
    pub(crate) fn inbox(&self) -> InboxBuilder {
        Inbox::builder(self.deliveries.clone(), (self.store)())
            .retry(RetrySchedule::new(
                Duration::from_millis(10),
                Duration::from_millis(50),
                3,
            ))
            .poll(Duration::from_millis(20))
    }

    pub(crate) async fn execute(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql);
        match &self.pool {
            Pool::Postgres { pool, .. } => Ok(pool.execute(sql).await?.rows_affected()),
            Pool::Sqlite { store, .. } => Ok(writer(store).execute(sql).await?.rows_affected()),
        }
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let count = AssertSqlSafe(sql);
        match &self.pool {
            Pool::Postgres { pool, .. } => sqlx::query_scalar(count).fetch_one(pool).await,
            Pool::Sqlite { store, .. } => sqlx::query_scalar(count).fetch_one(writer(store)).await,
        }
        .unwrap()
    }

    /// Lets so much time pass for all deliveries.
    pub(crate) async fn advance(&self, by: Duration) {
        let ms = by.as_millis();
        let unit = match self.pool {
            Pool::Postgres { .. } => format!("{ms} * interval '1 ms'"),
            Pool::Sqlite { .. } => ms.to_string(),
        };
        let columns = [
            "next_attempt_at",
            "received_at",
            "ended_at",
            "last_replay_at",
        ];
        let set = columns.map(|column| format!("{column} = {column} - {unit}"));
        let sql = format!("UPDATE webhook_deliveries SET {}", set.join(", "));
        self.execute(&sql).await.unwrap();
    }
}

fn writer(store: &SqliteStore) -> &SqlitePool {
    store.writer()
}

impl Drop for Database {
    fn drop(&mut self) {
        match &self.pool {
            Pool::Sqlite { folder, .. } => {
                let _ = std::fs::remove_dir_all(folder);
            }
            Pool::Postgres { schema, .. } => drop_schema(schema.clone()),
        }
    }
}

/// Drops it in a thread of its own, since a runtime cannot wait inside of itself.
fn drop_schema(schema: String) {
    let dropped = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let mut admin = PgConnection::connect_with(&server()).await?;
            let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
            admin.execute(AssertSqlSafe(sql)).await
        })
    });
    if !matches!(dropped.join(), Ok(Ok(_))) && !std::thread::panicking() {
        panic!("the schema of a test could not be dropped");
    }
}

/// What the handler answers, call by call, and what it was called with.
///
/// The last answer stays.
#[derive(Clone, Default)]
pub(crate) struct Handler {
    pub(crate) bodies: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<HashMap<String, Vec<u16>>>>,
    /// Holds every call until it is notified, if there is one.
    pub(crate) gate: Option<Arc<Notify>>,
}

impl Handler {
    /// Answers deliveries with this body by these statuses, one after the other.
    pub(crate) fn answering(self, body: &str, statuses: &[u16]) -> Self {
        let reversed = statuses.iter().rev().copied().collect();
        self.answers
            .lock()
            .unwrap()
            .insert(body.to_owned(), reversed);
        self
    }

    pub(crate) fn calls(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }

    async fn handle(self, body: Bytes) -> (StatusCode, String) {
        let body = String::from_utf8(body.to_vec()).unwrap();
        self.bodies.lock().unwrap().push(body.clone());
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let mut answers = self.answers.lock().unwrap();
        let status = match answers.get_mut(&body) {
            Some(left) if left.len() > 1 => left.pop().unwrap(),
            Some(left) => left[0],
            None => 200,
        };
        let status = StatusCode::from_u16(status).unwrap();
        (status, format!("handled {body}"))
    }
}

/// A router with the handler behind the inbox, keyed as GitHub does it.
pub(crate) fn router(inbox: &Inbox, handler: &Handler) -> Router {
    let trigger = Trigger::new("github").provider(Provider::GitHub);
    let handler = handler.clone();
    Router::new()
        .route(
            "/hooks/{repository}",
            post(move |body: Bytes| handler.clone().handle(body)),
        )
        .layer(inbox.layer(trigger).unwrap())
}

pub(crate) fn start(inbox: &Inbox, router: &Router) -> Worker {
    inbox.start::<_, Body, Body>(router.clone())
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) inbox: Option<String>,
    pub(crate) body: String,
}

/// Delivers a body, as GitHub would.
pub(crate) async fn deliver(router: &Router, key: Option<&str>, body: &str) -> Answer {
    let mut request = Request::post("/hooks/a?b=c");
    if let Some(key) = key {
        request = request.header("x-github-delivery", key);
    }
    send(router, request.body(Body::from(body.to_owned())).unwrap()).await
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response: Response<Body> = router.clone().oneshot(request).await.unwrap();
    let inbox = response.headers().get("x-webhook-inbox");
    let inbox = inbox.map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
    Answer {
        status,
        inbox,
        body,
    }
}

pub(crate) async fn all(inbox: &Inbox) -> Vec<Delivery> {
    inbox.list(&DeliveryPage::default()).await.unwrap()
}

/// Returns the only delivery.
pub(crate) async fn the_one(inbox: &Inbox) -> Delivery {
    let mut deliveries = all(inbox).await;
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    deliveries.remove(0)
}

/// Waits until every delivery has succeeded or is dead.
pub(crate) async fn until_ended(inbox: &Inbox) -> Vec<Delivery> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let deliveries = all(inbox).await;
        let has_ended = |delivery: &Delivery| {
            [DeliveryState::Succeeded, DeliveryState::Dead].contains(&delivery.state)
        };
        if deliveries.iter().all(has_ended) {
            return deliveries;
        }
        assert!(Instant::now() < end, "they do not end: {deliveries:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

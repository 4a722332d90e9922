//! A file of its own for each test.

use std::{
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Fingerprint, IdempotencyKey, RecordId, Retention,
    Scope, Settled, Store, StoredResponse,
};
use tower_idempotency_sqlite::{SqliteExecution, SqliteStore, SqliteStoreBuilder};
use tower_idempotency_testkit::Harness;

/// A folder that goes when the test ends.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-idempotency-sqlite-{}-{number}", process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("keys.db")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.0);
        if removed.is_err() && !std::thread::panicking() {
            panic!("the folder of a test could not be removed");
        }
    }
}

pub(crate) struct Sqlite {
    pub(crate) store: SqliteStore,
    pub(crate) folder: Folder,
}

pub(crate) async fn sqlite() -> Sqlite {
    sqlite_with(|builder| builder).await
}

pub(crate) async fn sqlite_with(
    set: impl FnOnce(SqliteStoreBuilder) -> SqliteStoreBuilder,
) -> Sqlite {
    let folder = Folder::new();
    let store = set(SqliteStore::builder(folder.file()))
        .open()
        .await
        .unwrap();
    Sqlite { store, folder }
}

/// Opens the file beside the store and takes the write lock.
pub(crate) async fn lock(sqlite: &Sqlite) -> SqliteConnection {
    let url = format!("sqlite://{}", sqlite.folder.file().display());
    let mut locker = SqliteConnection::connect(&url).await.unwrap();
    locker.execute("BEGIN IMMEDIATE").await.unwrap();
    locker
}

impl Sqlite {
    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        let done = self.store.writer().execute(AssertSqlSafe(sql)).await;
        done.unwrap().rows_affected()
    }
}

impl Harness for Sqlite {
    type Store = SqliteStore;

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        let ms = by.as_millis();
        self.execute(&format!(
            "UPDATE idempotency_keys SET
                 created_at = created_at - {ms},
                 lease_expires_at = lease_expires_at - {ms},
                 ended_at = ended_at - {ms},
                 expires_at = expires_at - {ms}"
        ))
        .await;
    }

    async fn damage(&self, id: &RecordId) -> bool {
        let damaged =
            sqlx::query("UPDATE idempotency_keys SET response_head = x'ff' WHERE id = ?1")
                .bind(id.as_bytes().as_slice())
                .execute(self.store.writer())
                .await;
        assert_eq!(damaged.unwrap().rows_affected(), 1);
        true
    }
}

pub(crate) fn request(key: &str) -> ClaimRequest {
    let key = IdempotencyKey::new(key).unwrap();
    ClaimRequest::new(Scope::new("alice", "POST /payments"), key, Fingerprint::OFF)
}

pub(crate) async fn acquire(store: &SqliteStore, request: &ClaimRequest) -> SqliteExecution {
    match store.claim(request).await {
        Ok(Claim::Acquired(execution)) => execution,
        other => panic!("expected to acquire the key: {other:?}"),
    }
}

pub(crate) fn completed() -> Completed {
    let response = StoredResponse::new(StatusCode::OK, &HeaderMap::new(), "done");
    Completed::new(response, Retention::COMPLETED)
}

pub(crate) async fn complete(execution: &mut SqliteExecution) {
    let settled = execution.complete(&completed()).await;
    assert_eq!(settled.unwrap(), Settled::Applied);
}

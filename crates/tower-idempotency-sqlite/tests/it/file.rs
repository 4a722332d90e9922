//! What the file holds, and what happens when it cannot be had.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Executor};
use tower_idempotency_core::{Claim, Store, StoreErrorKind};
use tower_idempotency_sqlite::SqliteStore;
use tower_idempotency_testkit::run;

use crate::support::{Folder, acquire, complete, lock, request, sqlite};

#[test]
fn records_survive_reopening() {
    run(async {
        let folder = Folder::new();
        let store = SqliteStore::open(folder.file()).await.unwrap();
        complete(&mut acquire(&store, &request("k")).await).await;
        drop(store);
        let store = SqliteStore::open(folder.file()).await.unwrap();
        assert!(matches!(
            store.claim(&request("k")).await,
            Ok(Claim::Completed(_))
        ));
    });
}

#[test]
fn every_commit_is_flushed_unless_that_was_given_up() {
    run(async {
        let folder = Folder::new();
        let store = SqliteStore::open(folder.file()).await.unwrap();
        assert_eq!(pragmas(&store).await, ("wal".to_owned(), 2));
        let fast = SqliteStore::builder(folder.file()).danger_forget_at_power_failure();
        let fast = fast.open().await.unwrap();
        assert_eq!(pragmas(&fast).await, ("wal".to_owned(), 1));
    });
}

async fn pragmas(store: &SqliteStore) -> (String, i64) {
    let journal = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(store.writer());
    let journal = journal.await.unwrap();
    let synchronous = sqlx::query_scalar("PRAGMA synchronous").fetch_one(store.writer());
    (journal, synchronous.await.unwrap())
}

#[test]
fn a_new_file_may_be_opened_by_many_at_once() {
    run(async {
        let folder = Folder::new();
        let opened = join_all((0..8).map(|_| SqliteStore::open(folder.file()))).await;
        for store in opened {
            assert_eq!(store.unwrap().sweep(1).await.unwrap().deleted, 0);
        }
    });
}

#[test]
fn readers_do_not_wait_for_the_write_lock() {
    run(async {
        let sqlite = sqlite().await;
        complete(&mut acquire(&sqlite.store, &request("done")).await).await;
        let _running = acquire(&sqlite.store, &request("running")).await;
        let mut locker = lock(&sqlite).await;
        let replay = sqlite.store.claim(&request("done")).await;
        assert!(matches!(replay, Ok(Claim::Completed(_))));
        let duplicate = sqlite.store.claim(&request("running")).await;
        assert!(matches!(duplicate, Ok(Claim::InProgress { .. })));
        locker.execute("ROLLBACK").await.unwrap();
    });
}

#[test]
fn a_held_write_lock_costs_the_bound_and_nothing_more() {
    run(async {
        let sqlite = sqlite().await;
        let store = SqliteStore::builder(sqlite.folder.file());
        let store = store.operation_timeout(Duration::from_millis(300));
        let store = store.open().await.unwrap();
        let mut locker = lock(&sqlite).await;
        let begun = Instant::now();
        let error = store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        locker.execute("ROLLBACK").await.unwrap();
        complete(&mut acquire(&store, &request("other")).await).await;
    });
}

#[test]
fn a_database_in_memory_is_refused_with_a_reason() {
    run(async {
        for path in [":memory:", "", "file:x?mode=memory"] {
            let error = SqliteStore::open(path).await.unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("MemoryStore"), "{source}");
        }
    });
}

#[test]
fn a_missing_folder_is_unavailable() {
    run(async {
        let folder = Folder::new();
        let nowhere = folder.path().join("not").join("there.db");
        let error = SqliteStore::open(nowhere).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    });
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    run(async {
        let folder = Folder::new();
        let letter = "Dear reader, this is a letter and not a database.".repeat(100);
        std::fs::write(folder.file(), &letter).unwrap();
        assert!(SqliteStore::open(folder.file()).await.is_err());
        assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), letter);
    });
}

/// Rows that no execution can produce.
#[test]
fn the_table_refuses_records_that_contradict_themselves() {
    run(async {
        let sqlite = sqlite().await;
        let _execution = acquire(&sqlite.store, &request("k")).await;
        for change in [
            "state = 'completed'",
            "lease_expires_at = NULL",
            "ended_at = created_at",
            "response_body = x''",
            "failure_error = 'x', failure_category = 'transient'",
            "attempt = 0",
            "key = ''",
            "id = x'00'",
            "expires_at = 'tomorrow'",
        ] {
            let sql = format!("UPDATE idempotency_keys SET {change}");
            let refused = sqlite.store.writer().execute(AssertSqlSafe(sql)).await;
            assert!(refused.is_err(), "{change} was not refused");
        }
    });
}

#[test]
fn a_missing_table_is_named_as_such() {
    run(async {
        let sqlite = sqlite().await;
        sqlite.execute("DROP TABLE idempotency_keys").await;
        let error = sqlite.store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Schema);
    });
}

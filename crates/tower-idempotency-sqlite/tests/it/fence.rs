//! Completing a key in the handler's own transaction.

use std::time::{Duration, Instant};

use http::Extensions;
use sqlx::{Connection, Executor, SqlitePool, Transaction, sqlite::SqliteConnectOptions};
use tower_idempotency_core::{
    Claim, Execution, Failure, FencedCommit, FencedTransaction, ListPage, RecordState, Release,
    Renewal, Resolution, Resolved, Settled, Standing, Store, StoreError, StoreErrorKind,
};
use tower_idempotency_sqlite::{SqliteExecution, SqliteFence, SqliteStore};
use tower_idempotency_testkit::{Harness, run};

use crate::support::{Sqlite, acquire, complete, completed, request, sqlite};

const PAST_LEASE: Duration = Duration::from_secs(31);
/// Longer than the lease and the retention of what was abandoned.
const PAST_ALL: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// A store, and the application's own connections to its file.
struct Bench {
    sqlite: Sqlite,
    pool: SqlitePool,
}

async fn bench() -> Bench {
    bench_with(|options| options).await
}

async fn bench_with(set: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions) -> Bench {
    let sqlite = sqlite().await;
    sqlite.execute("CREATE TABLE effects (n int)").await;
    let options = SqliteConnectOptions::new()
        .filename(sqlite.folder.file())
        .busy_timeout(Duration::from_millis(500));
    let pool = SqlitePool::connect_with(set(options)).await.unwrap();
    Bench { sqlite, pool }
}

impl Bench {
    async fn effects(&self) -> i64 {
        let number = sqlx::query_scalar("SELECT count(*) FROM effects");
        number.fetch_one(&self.pool).await.unwrap()
    }

    async fn state(&self) -> Option<RecordState> {
        let found = self.sqlite.store.lookup(&request("k").id).await.unwrap();
        found.map(|record| record.info.state)
    }

    async fn begin(&self) -> Transaction<'static, sqlx::Sqlite> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    async fn acquire(&self) -> (SqliteExecution, SqliteFence) {
        let mut execution = acquire(&self.sqlite.store, &request("k")).await;
        let mut extensions = Extensions::new();
        execution.install(&mut extensions);
        let fence = extensions.get::<SqliteFence>().unwrap().clone();
        (execution, fence)
    }
}

async fn write(transaction: &mut Transaction<'_, sqlx::Sqlite>) {
    let done = transaction.execute("INSERT INTO effects VALUES (1)").await;
    assert_eq!(done.unwrap().rows_affected(), 1);
}

async fn keep(
    transaction: &mut Transaction<'_, sqlx::Sqlite>,
    fence: &SqliteFence,
) -> Result<Settled, StoreError> {
    transaction.complete(fence, &completed()).await
}

#[test]
fn effect_and_record_are_committed_together() {
    run(async {
        let bench = bench().await;
        let (mut execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let kept = keep(&mut transaction, &fence).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        assert_eq!(bench.effects().await, 0);
        assert_eq!(bench.state().await, Some(RecordState::InProgress));
        transaction.commit().await.unwrap();
        assert_eq!(bench.effects().await, 1);
        let standing = execution.standing().await.unwrap();
        assert_eq!(standing, Standing::Completed);
        let claim = bench.sqlite.store.claim(&request("k")).await;
        assert!(matches!(claim, Ok(Claim::Completed(_))));
    });
}

#[test]
fn effect_and_record_are_committed_in_one_call() {
    run(async {
        let bench = bench().await;
        let (_execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let kept = transaction.complete_and_commit(&fence, &completed()).await;
        assert_eq!(kept.unwrap(), Settled::Applied);
        assert_eq!(bench.effects().await, 1);
        assert_eq!(bench.state().await, Some(RecordState::Completed));
    });
}

#[test]
fn whoever_lost_the_key_cannot_commit_in_one_call() {
    run(async {
        let bench = bench().await;
        let (mut execution, fence) = bench.acquire().await;
        let released = execution.release(&Release::Free).await.unwrap();
        assert_eq!(released, Settled::Applied);
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let kept = transaction.complete_and_commit(&fence, &completed()).await;
        assert_eq!(kept.unwrap(), Settled::Stale);
        assert_eq!(bench.effects().await, 0);
    });
}

/// Its release would say nothing of what becomes of the transaction around it.
#[test]
fn a_savepoint_is_not_committed_in_one_call() {
    run(async {
        let bench = bench().await;
        let (_execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let savepoint = transaction.begin().await.unwrap();
        let refused = savepoint.complete_and_commit(&fence, &completed()).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Internal);
        assert!(transaction.commit().await.is_err());
        assert_eq!(bench.effects().await, 0);
        assert_eq!(bench.state().await, Some(RecordState::InProgress));
    });
}

/// How an execution may lose its key.
#[derive(Clone, Copy, Debug)]
enum Lost {
    TakenOver,
    Expired,
    Freed,
    Failed,
    Answered,
    FreedByAnOperator,
}

const LOSSES: [Lost; 6] = [
    Lost::TakenOver,
    Lost::Expired,
    Lost::Freed,
    Lost::Failed,
    Lost::Answered,
    Lost::FreedByAnOperator,
];

async fn lose(sqlite: &Sqlite, execution: &mut SqliteExecution, how: Lost) {
    match how {
        Lost::TakenOver => {
            sqlite.advance(PAST_LEASE).await;
            complete(&mut acquire(&sqlite.store, &request("k")).await).await;
        }
        Lost::Expired => sqlite.advance(PAST_ALL).await,
        Lost::Freed => release(execution, Release::Free).await,
        Lost::Failed => {
            release(execution, Release::Failed(Failure::transient("status 500"))).await;
        }
        Lost::Answered => resolve(sqlite, Resolution::Answer(completed())).await,
        Lost::FreedByAnOperator => resolve(sqlite, Resolution::Free).await,
    }
}

async fn release(execution: &mut SqliteExecution, release: Release) {
    let settled = execution.release(&release).await.unwrap();
    assert_eq!(settled, Settled::Applied);
}

async fn resolve(sqlite: &Sqlite, resolution: Resolution) {
    sqlite.advance(PAST_LEASE).await;
    let resolved = sqlite.store.resolve(&request("k").id, &resolution).await;
    assert_eq!(resolved.unwrap(), Resolved::Applied);
}

/// What a handler may do with a transaction that it completes in.
#[derive(Clone, Copy, Debug)]
enum Handler {
    /// It commits, whatever the outcome.
    Commits,
    /// It completes in a savepoint, undoes that, and commits the rest.
    UndoesTheSavepoint,
    /// It completes in a savepoint that it just drops, and commits the rest.
    DropsTheSavepoint,
    /// It writes more, and ends the savepoint as if nothing had happened.
    GoesOn,
}

const HANDLERS: [Handler; 4] = [
    Handler::Commits,
    Handler::UndoesTheSavepoint,
    Handler::DropsTheSavepoint,
    Handler::GoesOn,
];

/// Runs a handler that does not look at the outcome; returns the outcome all the same.
async fn overlook(
    mut transaction: Transaction<'_, sqlx::Sqlite>,
    fence: &SqliteFence,
    handler: Handler,
) -> Result<Settled, StoreError> {
    // It may be too late for this one already.
    let _ = transaction.execute("INSERT INTO effects VALUES (1)").await;
    let kept;
    if matches!(handler, Handler::Commits) {
        kept = keep(&mut transaction, fence).await;
        let _ = transaction.execute("INSERT INTO effects VALUES (2)").await;
    } else {
        let mut savepoint = transaction.begin().await.unwrap();
        let _ = savepoint.execute("INSERT INTO effects VALUES (3)").await;
        kept = keep(&mut savepoint, fence).await;
        match handler {
            Handler::UndoesTheSavepoint => drop(savepoint.rollback().await),
            Handler::GoesOn => drop(savepoint.commit().await),
            Handler::DropsTheSavepoint | Handler::Commits => drop(savepoint),
        }
        let _ = transaction.execute("INSERT INTO effects VALUES (4)").await;
    }
    assert!(
        transaction.commit().await.is_err(),
        "{handler:?} has committed"
    );
    kept
}

#[test]
fn whoever_lost_the_key_cannot_commit() {
    run(async {
        for how in LOSSES {
            for handler in HANDLERS {
                let bench = bench().await;
                let (mut execution, fence) = bench.acquire().await;
                lose(&bench.sqlite, &mut execution, how).await;
                let before = bench.sqlite.store.lookup(&request("k").id).await.unwrap();
                let transaction = bench.begin().await;
                let kept = overlook(transaction, &fence, handler).await;
                assert_eq!(kept.unwrap(), Settled::Stale, "{how:?}, {handler:?}");
                assert_eq!(bench.effects().await, 0, "{how:?}, {handler:?}");
                let after = bench.sqlite.store.lookup(&request("k").id).await.unwrap();
                assert_eq!(after, before, "{how:?}, {handler:?}");
                assert_usable(&bench).await;
            }
        }
    });
}

/// The connection that was used goes back to the pool, and the next one must not feel it.
async fn assert_usable(bench: &Bench) {
    for _ in 0..4 {
        let mut transaction = bench.begin().await;
        let write = transaction.execute("INSERT INTO effects VALUES (9)");
        write.await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert_eq!(bench.effects().await, 4);
}

/// Somebody has written since the transaction began to read, so that it cannot write any more.
#[test]
fn whoever_met_an_error_cannot_commit() {
    run(async {
        for handler in HANDLERS {
            let bench = bench().await;
            let (mut execution, fence) = bench.acquire().await;
            let mut transaction = bench.pool.begin().await.unwrap();
            let read: i64 = sqlx::query_scalar("SELECT count(*) FROM effects")
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            assert_eq!(read, 0);
            assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
            let kept = overlook(transaction, &fence, handler).await;
            assert!(kept.is_err(), "{handler:?}");
            assert_eq!(bench.effects().await, 0, "{handler:?}");
            assert_eq!(bench.state().await, Some(RecordState::InProgress));
        }
    });
}

/// SQLite ends a transaction by itself when the disk is full, say, or when it is told to by a
/// conflict clause. A record that was completed behind that would be kept without its effect.
#[test]
fn whoever_has_no_transaction_any_more_keeps_nothing() {
    run(async {
        let bench = bench().await;
        let unique = "CREATE UNIQUE INDEX one_of_each ON effects (n)";
        bench.sqlite.execute(unique).await;
        let (_execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let again = "INSERT OR ROLLBACK INTO effects VALUES (1)";
        assert!(transaction.execute(again).await.is_err());
        let error = keep(&mut transaction, &fence).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Internal);
        write(&mut transaction).await;
        assert!(transaction.commit().await.is_err());
        assert_eq!(bench.effects().await, 0);
        assert_eq!(bench.state().await, Some(RecordState::InProgress));
        bench.sqlite.execute("DROP INDEX one_of_each").await;
        assert_usable(&bench).await;
    });
}

#[test]
fn a_connection_that_could_commit_all_the_same_is_refused() {
    run(async {
        let bench = bench_with(|options| options.foreign_keys(false)).await;
        let (mut execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let error = keep(&mut transaction, &fence).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Internal);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("foreign_keys"), "{source}");
        drop(transaction.commit().await);
        assert_eq!(bench.effects().await, 0);
        assert_usable(&bench).await;
        complete(&mut execution).await;
    });
}

#[test]
fn readers_do_not_wait_for_a_transaction_that_is_open() {
    run(async {
        let bench = bench().await;
        let store = &bench.sqlite.store;
        complete(&mut acquire(store, &request("done")).await).await;
        let (mut execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let kept = keep(&mut transaction, &fence).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        let mut quickest = Duration::MAX;
        for _ in 0..3 {
            let begun = Instant::now();
            read(store).await;
            quickest = quickest.min(begun.elapsed());
        }
        assert!(quickest < Duration::from_secs(1), "{quickest:?}");
        let standing = execution.standing().await.unwrap();
        assert_eq!(standing, Standing::InProgress);
        transaction.commit().await.unwrap();
        assert_eq!(bench.state().await, Some(RecordState::Completed));
    });
}

async fn read(store: &SqliteStore) {
    let duplicate = store.claim(&request("k")).await;
    assert!(matches!(duplicate, Ok(Claim::InProgress { .. })));
    let replay = store.claim(&request("done")).await;
    assert!(matches!(replay, Ok(Claim::Completed(_))));
    assert_eq!(store.list(&ListPage::default()).await.unwrap().len(), 2);
    let ids = ["k", "done"].map(|key| request(key).id);
    assert_eq!(store.ended(&ids).await.unwrap(), [ids[1]]);
}

/// SQLite has one writer: who would write waits within its bound.
#[test]
fn a_writer_waits_for_a_transaction_that_is_open_within_its_bound() {
    run(async {
        let bench = bench().await;
        let store = SqliteStore::builder(bench.sqlite.folder.file());
        let store = store.operation_timeout(Duration::from_millis(200));
        let store = store.open().await.unwrap();
        let (_execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        let kept = keep(&mut transaction, &fence).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        let begun = Instant::now();
        let other = request("other");
        let error = store.claim(&other).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Timeout);
        assert!(begun.elapsed() < Duration::from_secs(4));
        transaction.commit().await.unwrap();
        // By its token it recognises what became of the first try.
        complete(&mut acquire(&store, &other).await).await;
    });
}

#[test]
fn a_transaction_that_is_rolled_back_leaves_the_key_in_progress() {
    run(async {
        let bench = bench().await;
        let (mut execution, fence) = bench.acquire().await;
        let mut transaction = bench.begin().await;
        write(&mut transaction).await;
        let kept = keep(&mut transaction, &fence).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        transaction.rollback().await.unwrap();
        let standing = execution.standing().await.unwrap();
        assert_eq!(standing, Standing::InProgress);
        assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
        assert_eq!(bench.effects().await, 0);
        complete(&mut execution).await;
    });
}

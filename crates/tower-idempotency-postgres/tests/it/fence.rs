//! Completing a key in the handler's own transaction.

use std::time::{Duration, Instant};

use http::Extensions;
use sqlx::{AssertSqlSafe, Connection, Executor, Transaction};
use tower_idempotency_core::{
    Claim, Execution, Failure, FencedCommit, FencedTransaction, RecordState, Release, Renewal,
    Resolution, Resolved, Settled, Standing, Store, StoreError, StoreErrorKind,
};
use tower_idempotency_postgres::{PostgresExecution, PostgresFence};
use tower_idempotency_testkit::{Harness, run};

use crate::support::{Postgres, acquire, complete, completed, postgres, request};

const PAST_LEASE: Duration = Duration::from_secs(31);
/// Longer than the lease and the retention of what was abandoned.
const PAST_ALL: Duration = Duration::from_secs(3 * 24 * 60 * 60);

pub(crate) async fn bench() -> Postgres {
    let postgres = postgres().await;
    postgres.execute("CREATE TABLE effects (n int)").await;
    postgres
}

pub(crate) fn fence(execution: &mut PostgresExecution) -> PostgresFence {
    let mut extensions = Extensions::new();
    execution.install(&mut extensions);
    extensions.get::<PostgresFence>().unwrap().clone()
}

async fn write(transaction: &mut Transaction<'_, sqlx::Postgres>) {
    let done = transaction.execute("INSERT INTO effects VALUES (1)").await;
    assert_eq!(done.unwrap().rows_affected(), 1);
}

async fn keep(
    transaction: &mut Transaction<'_, sqlx::Postgres>,
    fence: &PostgresFence,
) -> Result<Settled, StoreError> {
    transaction.complete(fence, &completed(7)).await
}

pub(crate) async fn effects(postgres: &Postgres) -> i64 {
    let number = sqlx::query_scalar("SELECT count(*) FROM effects");
    number.fetch_one(&postgres.pool).await.unwrap()
}

pub(crate) async fn state(postgres: &Postgres) -> Option<RecordState> {
    let found = postgres.store.lookup(&request("k").id).await.unwrap();
    found.map(|record| record.info.state)
}

#[test]
fn effect_and_record_are_committed_together() {
    run(async {
        let postgres = bench().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        let mut transaction = postgres.pool.begin().await.unwrap();
        write(&mut transaction).await;
        let kept = keep(&mut transaction, &fence).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        assert_eq!(effects(&postgres).await, 0);
        assert_eq!(state(&postgres).await, Some(RecordState::InProgress));
        transaction.commit().await.unwrap();
        assert_eq!(effects(&postgres).await, 1);
        let standing = execution.standing().await.unwrap();
        assert_eq!(standing, Standing::Completed);
        match postgres.store.claim(&request("k")).await.unwrap() {
            Claim::Completed(kept) => assert_eq!(kept.response.body().unwrap().len(), 7),
            other => panic!("expected a kept response: {other:?}"),
        }
    });
}

#[test]
fn effect_and_record_are_committed_in_one_call() {
    run(async {
        let postgres = bench().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        let mut transaction = postgres.pool.begin().await.unwrap();
        write(&mut transaction).await;
        let kept = transaction.complete_and_commit(&fence, &completed(7)).await;
        assert_eq!(kept.unwrap(), Settled::Applied);
        assert_eq!(effects(&postgres).await, 1);
        assert_eq!(state(&postgres).await, Some(RecordState::Completed));
    });
}

/// Its release would say nothing of what becomes of the transaction around it.
#[test]
fn a_savepoint_is_not_committed_in_one_call() {
    run(async {
        let postgres = bench().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        let mut transaction = postgres.pool.begin().await.unwrap();
        write(&mut transaction).await;
        let savepoint = transaction.begin().await.unwrap();
        let refused = savepoint.complete_and_commit(&fence, &completed(7)).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Internal);
        assert!(transaction.commit().await.is_err());
        assert_eq!(effects(&postgres).await, 0);
        assert_eq!(state(&postgres).await, Some(RecordState::InProgress));
    });
}

#[test]
fn a_commit_that_is_refused_is_known_to_be_undone() {
    run(async {
        let postgres = bench().await;
        let table = "CREATE TABLE parents (n int PRIMARY KEY)";
        postgres.execute(table).await;
        let table = "CREATE TABLE children
                     (n int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)";
        postgres.execute(table).await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        let mut transaction = postgres.pool.begin().await.unwrap();
        let orphan = "INSERT INTO children VALUES (1)";
        transaction.execute(orphan).await.unwrap();
        let refused = transaction.complete_and_commit(&fence, &completed(7)).await;
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::RolledBack);
        assert_eq!(state(&postgres).await, Some(RecordState::InProgress));
    });
}

#[test]
fn a_late_owner_whose_key_nobody_took_may_commit() {
    run(async {
        let postgres = bench().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        postgres.advance(PAST_LEASE).await;
        let mut transaction = postgres.pool.begin().await.unwrap();
        let kept = keep(&mut transaction, &fence(&mut execution)).await;
        assert_eq!(kept.unwrap(), Settled::Applied);
        transaction.commit().await.unwrap();
        assert_eq!(state(&postgres).await, Some(RecordState::Completed));
    });
}

/// How an execution may lose its key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lost {
    TakenOver,
    Expired,
    Freed,
    Failed,
    Answered,
    FreedByAnOperator,
    Swept,
}

pub(crate) const LOSSES: [Lost; 7] = [
    Lost::TakenOver,
    Lost::Expired,
    Lost::Freed,
    Lost::Failed,
    Lost::Answered,
    Lost::FreedByAnOperator,
    Lost::Swept,
];

pub(crate) async fn lose(postgres: &Postgres, execution: &mut PostgresExecution, how: Lost) {
    let store = &postgres.store;
    match how {
        Lost::TakenOver => {
            postgres.advance(PAST_LEASE).await;
            complete(&mut acquire(store, &request("k")).await).await;
        }
        Lost::Expired => postgres.advance(PAST_ALL).await,
        Lost::Freed => release(execution, Release::Free).await,
        Lost::Failed => {
            release(execution, Release::Failed(Failure::transient("status 500"))).await;
        }
        Lost::Answered => resolve(postgres, Resolution::Answer(completed(1))).await,
        Lost::FreedByAnOperator => resolve(postgres, Resolution::Free).await,
        Lost::Swept => {
            postgres.advance(PAST_ALL * 10).await;
            assert_eq!(store.sweep(10).await.unwrap().deleted, 1);
        }
    }
}

async fn release(execution: &mut PostgresExecution, release: Release) {
    let settled = execution.release(&release).await.unwrap();
    assert_eq!(settled, Settled::Applied);
}

async fn resolve(postgres: &Postgres, resolution: Resolution) {
    postgres.advance(PAST_LEASE).await;
    let resolved = postgres.store.resolve(&request("k").id, &resolution).await;
    assert_eq!(resolved.unwrap(), Resolved::Applied);
}

/// What a handler may do with a transaction that it completes in.
#[derive(Clone, Copy, Debug)]
enum Handler {
    /// It completes and commits in one call.
    CommitsAtOnce,
    /// It commits, whatever the outcome.
    Commits,
    /// It completes in a savepoint, undoes that, and commits the rest.
    UndoesTheSavepoint,
    /// It completes in a savepoint that it just drops, and commits the rest.
    DropsTheSavepoint,
    /// It writes more, and ends the savepoint as if nothing had happened.
    GoesOn,
}

const HANDLERS: [Handler; 5] = [
    Handler::CommitsAtOnce,
    Handler::Commits,
    Handler::UndoesTheSavepoint,
    Handler::DropsTheSavepoint,
    Handler::GoesOn,
];

/// Runs a handler that does not look at the outcome; returns the outcome all the same.
async fn overlook(
    mut transaction: Transaction<'_, sqlx::Postgres>,
    fence: &PostgresFence,
    handler: Handler,
) -> Result<Settled, StoreError> {
    write(&mut transaction).await;
    let kept;
    if matches!(handler, Handler::CommitsAtOnce) {
        return transaction.complete_and_commit(fence, &completed(7)).await;
    }
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
            Handler::DropsTheSavepoint | Handler::Commits | Handler::CommitsAtOnce => {
                drop(savepoint);
            }
        }
        let _ = transaction.execute("INSERT INTO effects VALUES (4)").await;
    }
    drop(transaction.commit().await);
    kept
}

#[test]
fn whoever_lost_the_key_cannot_commit() {
    run(async {
        for how in LOSSES {
            for handler in HANDLERS {
                let postgres = bench().await;
                let mut execution = acquire(&postgres.store, &request("k")).await;
                let fence = fence(&mut execution);
                lose(&postgres, &mut execution, how).await;
                let before = postgres.store.lookup(&request("k").id).await.unwrap();
                let transaction = postgres.pool.begin().await.unwrap();
                let kept = overlook(transaction, &fence, handler).await;
                assert_eq!(kept.unwrap(), Settled::Stale, "{how:?}, {handler:?}");
                assert_eq!(effects(&postgres).await, 0, "{how:?}, {handler:?}");
                let after = postgres.store.lookup(&request("k").id).await.unwrap();
                assert_eq!(after, before, "{how:?}, {handler:?}");
            }
        }
    });
}

/// An error leaves the transaction aborted, and a savepoint would bring it back.
#[test]
fn whoever_met_an_error_cannot_commit() {
    run(async {
        for handler in HANDLERS {
            let postgres = bench().await;
            let mut execution = acquire(&postgres.store, &request("k")).await;
            let fence = fence(&mut execution);
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
            let mut transaction = postgres.pool.begin_with(begin).await.unwrap();
            transaction.execute("SELECT 1 FROM effects").await.unwrap();
            assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
            let kept = overlook(transaction, &fence, handler).await;
            assert!(kept.is_err(), "{handler:?}");
            assert_eq!(effects(&postgres).await, 0, "{handler:?}");
            assert_eq!(state(&postgres).await, Some(RecordState::InProgress));
        }
    });
}

/// A role that may not end the session of the one that has logged in.
#[test]
fn whoever_lost_the_key_under_another_role_cannot_commit() {
    run(async {
        for handler in HANDLERS {
            let postgres = bench().await;
            let role = format!("{}_role", postgres.schema);
            postgres.execute(&format!("CREATE ROLE {role}")).await;
            for sql in [
                format!("GRANT USAGE ON SCHEMA {} TO {role}", postgres.schema),
                format!("GRANT ALL ON effects, idempotency_keys TO {role}"),
            ] {
                postgres.execute(&sql).await;
            }
            let mut execution = acquire(&postgres.store, &request("k")).await;
            let fence = fence(&mut execution);
            lose(&postgres, &mut execution, Lost::Freed).await;
            let mut transaction = postgres.pool.begin().await.unwrap();
            let change = format!("SET LOCAL ROLE {role}");
            transaction.execute(AssertSqlSafe(change)).await.unwrap();
            let kept = overlook(transaction, &fence, handler).await;
            assert_eq!(kept.unwrap(), Settled::Stale, "{handler:?}");
            assert_eq!(effects(&postgres).await, 0, "{handler:?}");
            postgres.execute(&format!("DROP OWNED BY {role}")).await;
            postgres.execute(&format!("DROP ROLE {role}")).await;
        }
    });
}

/// Runs something up to three times, since a machine may be busy, and asserts that it can be quick.
async fn quickly<T>(what: &str, work: impl AsyncFn() -> T) -> T {
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        let done = work().await;
        quickest = quickest.min(begun.elapsed());
        if quickest < Duration::from_secs(1) {
            return done;
        }
    }
    panic!("{what} took {quickest:?}");
}

#[test]
fn nobody_waits_for_a_transaction_that_is_open() {
    run(async {
        let postgres = bench().await;
        let store = &postgres.store;
        let mut execution = acquire(store, &request("k")).await;
        let fence = fence(&mut execution);
        let mut transaction = postgres.pool.begin().await.unwrap();
        let kept = keep(&mut transaction, &fence).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        let execution = tokio::sync::Mutex::new(execution);
        let renewed = quickly("renewing", async || execution.lock().await.renew().await);
        assert_eq!(renewed.await.unwrap(), Renewal::Renewed);
        let claim = quickly("a duplicate", async || store.claim(&request("k")).await);
        assert!(matches!(claim.await, Ok(Claim::InProgress { .. })));
        let count = std::sync::atomic::AtomicU32::new(0);
        quickly("another key", async || {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            complete(&mut acquire(store, &request(&format!("other-{number}"))).await).await;
        })
        .await;
        transaction.rollback().await.unwrap();
    });
}

#[test]
fn a_lease_that_runs_out_while_the_transaction_is_open_is_not_taken() {
    run(async {
        let postgres = bench().await;
        let store = &postgres.store;
        let mut first = request("k");
        first.lease = Duration::from_millis(100);
        let mut execution = acquire(store, &first).await;
        let fence = fence(&mut execution);
        let mut transaction = postgres.pool.begin().await.unwrap();
        write(&mut transaction).await;
        let kept = keep(&mut transaction, &fence).await.unwrap();
        assert_eq!(kept, Settled::Applied);
        crate::support::until_dead(&postgres).await;
        let claim = quickly("a takeover", async || store.claim(&request("k")).await);
        assert!(matches!(claim.await, Ok(Claim::InProgress { .. })));
        let swept = quickly("a sweep", async || store.sweep(10).await).await;
        assert_eq!(swept.unwrap().deleted, 0);
        for resolution in [Resolution::Free, Resolution::Answer(completed(1))] {
            let id = request("k").id;
            let resolved = quickly("resolving", async || store.resolve(&id, &resolution).await);
            assert!(matches!(resolved.await, Ok(Resolved::Running { .. })));
        }
        transaction.commit().await.unwrap();
        assert_eq!(effects(&postgres).await, 1);
        assert_eq!(state(&postgres).await, Some(RecordState::Completed));
    });
}

#[test]
fn a_transaction_that_is_rolled_back_leaves_the_key_in_progress() {
    run(async {
        let postgres = bench().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        for is_cut in [false, true] {
            let mut transaction = postgres.pool.begin().await.unwrap();
            write(&mut transaction).await;
            let kept = keep(&mut transaction, &fence).await.unwrap();
            assert_eq!(kept, Settled::Applied);
            if is_cut {
                let end = "SELECT pg_terminate_backend(pg_backend_pid())";
                assert!(transaction.execute(end).await.is_err());
                assert!(transaction.commit().await.is_err());
            } else {
                transaction.rollback().await.unwrap();
            }
            let standing = execution.standing().await.unwrap();
            assert_eq!(standing, Standing::InProgress);
            assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
            assert_eq!(effects(&postgres).await, 0);
        }
        complete(&mut execution).await;
    });
}

/// One of the two waits for the other, and then finds the record completed.
#[test]
fn of_two_transactions_of_one_execution_one_commits() {
    run(async {
        let postgres = bench().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        let mut one = postgres.pool.begin().await.unwrap();
        let mut other = postgres.pool.begin().await.unwrap();
        write(&mut one).await;
        write(&mut other).await;
        assert_eq!(keep(&mut one, &fence).await.unwrap(), Settled::Applied);
        let second = async {
            let kept = keep(&mut other, &fence).await.unwrap();
            assert_eq!(kept, Settled::Stale);
            assert!(other.commit().await.is_err());
        };
        let first = async {
            one.commit().await.unwrap();
        };
        tokio::join!(second, first);
        assert_eq!(effects(&postgres).await, 1);
    });
}

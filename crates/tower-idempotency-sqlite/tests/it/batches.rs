//! What shares a commit shares nothing else.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use sqlx::{Executor, Sqlite as Driver, pool::PoolConnection};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower_idempotency_core::{
    Claim, ClaimRequest, Execution, Fingerprint, Renewal, Scope, Settled, Store, StoreError,
    StoreErrorKind,
};
use tower_idempotency_sqlite::{SqliteExecution, SqliteStore};
use tower_idempotency_testkit::run;

use crate::support::{Sqlite, acquire, complete, completed, lock, request, sqlite, sqlite_with};

type Claiming = JoinHandle<Result<Claim<SqliteExecution>, StoreError>>;

fn acquired(claim: Claim<SqliteExecution>) -> SqliteExecution {
    match claim {
        Claim::Acquired(execution) => execution,
        other => panic!("expected to acquire the key: {other:?}"),
    }
}

/// Begins claims while nobody can write, one more than there is room for.
///
/// So one of them is refused, and then all others wait for the same batch.
async fn waiting(
    sqlite: &Sqlite,
    requests: Vec<ClaimRequest>,
) -> (PoolConnection<Driver>, Vec<Claiming>) {
    let writer = sqlite.store.writer().acquire().await.unwrap();
    let refused = Arc::new(Notify::new());
    let claims = requests
        .into_iter()
        .map(|request| {
            let (store, refused) = (sqlite.store.clone(), Arc::clone(&refused));
            tokio::spawn(async move {
                let claim = store.claim(&request).await;
                if is_full(&claim) {
                    refused.notify_one();
                }
                claim
            })
        })
        .collect();
    refused.notified().await;
    (writer, claims)
}

fn is_full(claim: &Result<Claim<SqliteExecution>, StoreError>) -> bool {
    matches!(claim, Err(error) if error.kind() == StoreErrorKind::Full)
}

/// Waits for the claims, but for the one that was refused.
async fn answers(claims: Vec<Claiming>) -> Vec<Result<Claim<SqliteExecution>, StoreError>> {
    let claims = join_all(claims).await.into_iter().map(Result::unwrap);
    let (refused, others): (Vec<_>, Vec<_>) = claims.partition(is_full);
    assert_eq!(refused.len(), 1);
    others
}

async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(4), "it never was");
    }
}

/// Counts the commits in the write-ahead log: the last frame of each says how large the file is
/// after it.
fn commits(sqlite: &Sqlite) -> usize {
    let log = std::fs::read(sqlite.folder.path().join("keys.db-wal")).unwrap();
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let (header, frames) = log.split_at(32);
    let page = usize::try_from(number(&header[8..12])).unwrap();
    frames
        .chunks_exact(24 + page)
        .filter(|frame| frame[8..16] == header[16..24])
        .filter(|frame| number(&frame[4..8]) != 0)
        .count()
}

#[test]
fn claims_and_completions_in_flight_together_share_a_commit() {
    run(async {
        let sqlite = sqlite_with(|it| it.max_queued_claims(50)).await;
        let before = commits(&sqlite);
        let requests = (0..51).map(|n| request(&format!("k-{n}"))).collect();
        let (writer, claims) = waiting(&sqlite, requests).await;
        drop(writer);
        let claims = answers(claims).await.into_iter().map(Result::unwrap);
        let mut executions: Vec<_> = claims.map(acquired).collect();
        assert_eq!(commits(&sqlite), before + 1);
        let writer = sqlite.store.writer().acquire().await.unwrap();
        let response = completed();
        let all = join_all(executions.iter_mut().map(|it| it.complete(&response)));
        // By then, each of them has been asked for once.
        let (settled, ()) = tokio::join!(all, async { drop(writer) });
        for settled in settled {
            assert_eq!(settled.unwrap(), Settled::Applied);
        }
        assert_eq!(commits(&sqlite), before + 2);
    });
}

#[test]
fn a_lone_claim_and_its_completion_are_a_commit_each() {
    run(async {
        let sqlite = sqlite().await;
        let before = commits(&sqlite);
        let mut execution = acquire(&sqlite.store, &request("k")).await;
        assert_eq!(commits(&sqlite), before + 1);
        complete(&mut execution).await;
        assert_eq!(commits(&sqlite), before + 2);
    });
}

#[test]
fn of_several_claims_of_a_key_in_one_batch_one_acquires_it() {
    run(async {
        let sqlite = sqlite_with(|it| it.max_queued_claims(9)).await;
        let with_digest = |byte| {
            let mut request = request("k");
            let bytes = [&[1][..], &[byte; 32]].concat();
            request.fingerprint = Fingerprint::from_bytes(&bytes).unwrap();
            request
        };
        let requests = [7; 10].map(with_digest).to_vec();
        let (writer, claims) = waiting(&sqlite, requests).await;
        drop(writer);
        let claims = answers(claims).await.into_iter().map(Result::unwrap);
        let claims: Vec<_> = claims.collect();
        let count = |is: fn(&Claim<SqliteExecution>) -> bool| {
            claims.iter().filter(|claim| is(claim)).count()
        };
        assert_eq!(count(|claim| matches!(claim, Claim::Acquired(_))), 1);
        assert_eq!(count(|claim| matches!(claim, Claim::InProgress { .. })), 8);
        let mismatch = sqlite.store.claim(&with_digest(8)).await;
        assert!(matches!(mismatch, Ok(Claim::Mismatch)));
    });
}

#[test]
fn a_claim_that_sqlite_refuses_fails_alone() {
    run(async {
        let sqlite = sqlite_with(|it| it.max_queued_claims(40)).await;
        sqlite
            .execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON idempotency_keys WHEN NEW.route = 'unlucky'
                 BEGIN SELECT RAISE(ABORT, 'an unlucky route'); END",
            )
            .await;
        let before = commits(&sqlite);
        // One of them finds no room, and may be either.
        let requests = (0..41).map(|n| {
            let key = request(&format!("k-{n}")).key;
            let route = if n % 20 == 13 { "unlucky" } else { "lucky" };
            ClaimRequest::new(Scope::new("alice", route), key, Fingerprint::OFF)
        });
        let (writer, claims) = waiting(&sqlite, requests.collect()).await;
        drop(writer);
        let claims = answers(claims).await;
        assert_eq!(commits(&sqlite), before + 1);
        let (made, failed): (Vec<_>, Vec<_>) = claims.into_iter().partition(Result::is_ok);
        assert!(matches!(failed.len(), 1 | 2));
        for error in failed {
            assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Internal);
        }
        for claim in &made {
            assert!(matches!(claim, Ok(Claim::Acquired(_))));
        }
        let made = i64::try_from(made.len()).unwrap();
        assert_eq!(records(&sqlite).await, made);
    });
}

async fn records(sqlite: &Sqlite) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys");
    count.fetch_one(sqlite.store.writer()).await.unwrap()
}

#[test]
fn a_claim_whose_caller_has_gone_before_the_write_lock_was_had_is_not_made() {
    run(async {
        let sqlite = sqlite_with(|it| it.max_queued_claims(2)).await;
        let requests = ["a", "b", "c"].map(request).to_vec();
        let (writer, claims) = waiting(&sqlite, requests).await;
        let mut locker = lock(&sqlite).await;
        drop(writer);
        // They have left the queue, and their batch waits for the lock.
        until(async || {
            let more = request("more");
            let claim = timeout(Duration::from_millis(20), sqlite.store.claim(&more)).await;
            !claim.is_ok_and(|claim| is_full(&claim))
        })
        .await;
        for claim in &claims {
            claim.abort();
        }
        let claims = join_all(claims).await.into_iter();
        assert_eq!(claims.filter(Result::is_err).count(), 2);
        locker.execute("ROLLBACK").await.unwrap();
        let _other = acquire(&sqlite.store, &request("other")).await;
        assert_eq!(records(&sqlite).await, 1);
    });
}

#[test]
fn a_batch_that_cannot_write_fails_within_the_bound_and_leaves_nothing() {
    run(async {
        let bound = Duration::from_millis(300);
        let sqlite = sqlite_with(|it| it.max_queued_claims(3).operation_timeout(bound)).await;
        let mut locker = lock(&sqlite).await;
        let begun = Instant::now();
        let requests: Vec<_> = (0..3).map(|n| request(&format!("k-{n}"))).collect();
        let claims = join_all(requests.iter().map(|it| sqlite.store.claim(it))).await;
        assert!(begun.elapsed() < Duration::from_secs(4));
        for claim in claims {
            assert_eq!(claim.unwrap_err().kind(), StoreErrorKind::Timeout);
        }
        locker.execute("ROLLBACK").await.unwrap();
        until(async || sqlite.store.claim(&request("other")).await.is_ok()).await;
    });
}

#[test]
fn claims_are_refused_when_too_many_wait_and_completions_are_not() {
    run(async {
        let sqlite = sqlite_with(|it| it.max_queued_claims(2)).await;
        let mut running = acquire(&sqlite.store, &request("running")).await;
        let requests = ["a", "b", "c"].map(request).to_vec();
        let (writer, claims) = waiting(&sqlite, requests).await;
        let response = completed();
        let complete = running.complete(&response);
        let (settled, ()) = tokio::join!(complete, async { drop(writer) });
        assert_eq!(settled.unwrap(), Settled::Applied);
        for claim in answers(claims).await {
            drop(acquired(claim.unwrap()));
        }
    });
}

#[test]
fn others_that_write_have_their_turn_between_batches() {
    run(async {
        let sqlite = sqlite().await;
        let busy: Vec<_> = (0..8)
            .map(|task| {
                let store = sqlite.store.clone();
                tokio::spawn(async move {
                    for n in 0_u64.. {
                        complete(&mut acquire(&store, &request(&format!("{task}-{n}"))).await)
                            .await;
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            assert!(!sqlite.store.sweep(1).await.unwrap().more);
            let transaction = sqlite.store.writer().begin_with("BEGIN IMMEDIATE");
            let transaction = timeout(Duration::from_secs(5), transaction).await;
            transaction.unwrap().unwrap().commit().await.unwrap();
        }
        for task in busy {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
}

/// Connections to one file know nothing of each other, whether or not they are of one process.
#[test]
fn stores_that_share_a_file_do_not_starve_each_other() {
    run(async {
        let sqlite = sqlite().await;
        let other = SqliteStore::open(sqlite.folder.file()).await.unwrap();
        let all = (0..64).map(|task| {
            let store = if task % 2 == 0 { &sqlite.store } else { &other };
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..5 {
                    let mut execution = acquire(&store, &request(&format!("{task}-{n}"))).await;
                    assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
                    complete(&mut execution).await;
                }
            })
        });
        for task in join_all(all).await {
            task.unwrap();
        }
        assert_eq!(records(&sqlite).await, 64 * 5);
    });
}

#[test]
fn a_closed_writer_is_unavailable() {
    run(async {
        let sqlite = sqlite().await;
        let mut running = acquire(&sqlite.store, &request("running")).await;
        sqlite.store.writer().close().await;
        let error = sqlite.store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let error = running.complete(&completed()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    });
}

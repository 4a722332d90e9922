//! Executions that are transactions: rolled back, in conflict, of unknown outcome.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Response, StatusCode};
use tower_idempotency::{
    CompleteInError, ConflictPolicy, FencedCommit, FencedTransaction, Idempotency,
};
use tower_idempotency_core::{Completed, Settled, StoreError, StoreErrorKind};
use tower_idempotency_testkit::{Verb, run};

use crate::support::{builder, counting, send, send_until, store, wrap};

fn at_once(retries: u32) -> ConflictPolicy {
    let mut policy = ConflictPolicy::retries(retries);
    policy.first_pause = Duration::from_millis(1);
    policy
}

/// Nothing was done, so the client must not be told that it was.
#[test]
fn a_transaction_that_was_rolled_back_is_answered_503() {
    run(async {
        for kind in [StoreErrorKind::RolledBack, StoreErrorKind::Conflict] {
            let (store, faults) = store();
            let (app, runs) = counting(&builder(store).build().unwrap());
            faults.roll_back_next(Verb::Complete, 1, kind);
            let reply = send(&app, "k").await;
            assert_eq!((reply.status, reply.stored), (503, None));
            assert!(reply.body.contains("TRANSACTION_ROLLED_BACK"));
            assert_eq!(runs.load(Ordering::SeqCst), 1);
            // Nobody goes on trying to complete what is undone, and the key is free.
            assert_eq!(faults.calls(Verb::Complete), 1);
            let retry = send(&app, "k").await;
            assert_eq!((retry.status, retry.body.as_str()), (201, "2"));
        }
    });
}

#[test]
fn a_conflict_is_run_again_as_often_as_allowed() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).retry_conflicts(at_once(2)).build().unwrap();
        let (app, runs) = counting(&layer);
        faults.roll_back_next(Verb::Complete, 2, StoreErrorKind::Conflict);
        let reply = send(&app, "k").await;
        assert_eq!((reply.status, reply.body.as_str()), (201, "3"));
        assert_eq!(reply.stored.as_deref(), Some("true"));
        faults.roll_back_next(Verb::Complete, 3, StoreErrorKind::Conflict);
        let reply = send(&app, "other").await;
        assert_eq!(reply.status, 503);
        assert!(reply.body.contains("TRANSACTION_ROLLED_BACK"));
        assert_eq!(runs.load(Ordering::SeqCst), 6);
    });
}

/// What is undone for another reason is not run again: it would only happen again.
#[test]
fn a_rollback_without_a_conflict_is_not_run_again() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).retry_conflicts(at_once(2)).build().unwrap();
        let (app, runs) = counting(&layer);
        faults.roll_back_next(Verb::Complete, 1, StoreErrorKind::RolledBack);
        assert_eq!(send(&app, "k").await.status, 503);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

/// A handler that failed since its transaction met another one is run again, too.
#[test]
fn a_failure_by_conflict_is_run_again() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).retry_conflicts(at_once(1)).build().unwrap();
        let runs = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&runs);
        let app = wrap(&layer, move |_| {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match run {
                    1 => (StatusCode::CREATED, "done".to_owned()),
                    _ => (StatusCode::INTERNAL_SERVER_ERROR, "met another".to_owned()),
                }
            }
        });
        faults.roll_back_next(Verb::Release, 1, StoreErrorKind::Conflict);
        let reply = send(&app, "k").await;
        assert_eq!((reply.status, reply.body.as_str()), (201, "done"));
        // Beyond the last retry the client gets what the handler said.
        faults.roll_back_next(Verb::Release, 2, StoreErrorKind::Conflict);
        let reply = send(&app, "other").await;
        assert_eq!((reply.status, reply.body.as_str()), (500, "met another"));
        assert_eq!(runs.load(Ordering::SeqCst), 4);
    });
}

/// The effect may be there or not: saying either would be a guess.
#[test]
fn a_commit_of_unknown_outcome_is_answered_503_and_found_out_later() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).build().unwrap();
        let (app, runs) = counting(&layer);
        faults.fail_next(Verb::Complete, 1, StoreErrorKind::CommitUnknown);
        let reply = send(&app, "k").await;
        assert_eq!((reply.status, reply.stored), (503, None));
        assert!(reply.body.contains("not known yet"), "{}", reply.body);
        let replay = send_until(&app, "k", |reply| reply.status == 201).await;
        assert_eq!(replay.replay.as_deref(), Some("true"));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        layer.drain().await;
    });
}

/// A transaction that no store of these tests has a fence for.
struct Strange;

impl FencedTransaction<u8> for Strange {
    async fn complete(&mut self, _: &u8, _: &Completed) -> Result<Settled, StoreError> {
        Ok(Settled::Applied)
    }
}

impl FencedCommit<u8> for Strange {
    async fn complete_and_commit(self, _: &u8, _: &Completed) -> Result<Settled, StoreError> {
        Ok(Settled::Applied)
    }
}

#[test]
fn a_store_without_transactions_refuses_a_fenced_commit() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let app = wrap(&layer, |request| async move {
            let idempotency = request.extensions().get::<Idempotency>().cloned().unwrap();
            let response = Response::new(String::new());
            let refused = idempotency.complete_in(&mut Strange, &response).await;
            let unsupported = matches!(refused, Err(CompleteInError::Unsupported));
            let refused = idempotency.complete_and_commit(Strange, &response).await;
            let unsupported = unsupported && matches!(refused, Err(CompleteInError::Unsupported));
            (StatusCode::OK, unsupported.to_string())
        });
        let reply = send(&app, "k").await;
        assert_eq!(
            (reply.body.as_str(), reply.stored.as_deref()),
            ("true", Some("true"))
        );
    });
}

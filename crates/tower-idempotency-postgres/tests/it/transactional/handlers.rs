//! What handlers may do to a transaction that they should not.

use std::{pin::pin, time::Duration};

use http::{HeaderMap, StatusCode};
use sqlx::Executor;
use tokio::time::timeout;
use tower_idempotency_core::{
    Completed, Execution, Release, Retention, Settled, StoreErrorKind, StoredResponse,
};
use tower_idempotency_testkit::run;

use super::support::{Running, bench, over, write};
use crate::support::{pool, postgres, request};

#[test]
fn a_handler_that_commits_by_itself_gets_its_response_kept() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        write(&mut tx).await;
        tx.execute("COMMIT").await.unwrap();
        drop(tx);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
        assert_eq!(bench.refused(&request("k")).await, "completed");
        assert_eq!(bench.effects().await, 1);
    });
}

#[test]
fn a_handler_that_commits_and_begins_by_itself_gets_its_response_kept() {
    run(async {
        for ending in ["COMMIT; BEGIN", "COMMIT AND CHAIN"] {
            let bench = bench().await;
            let mut running = bench.acquire(&request("k")).await;
            let mut tx = running.tx();
            write(&mut tx).await;
            tx.execute(ending).await.unwrap();
            drop(tx);
            assert_eq!(running.complete().await.unwrap(), Settled::Applied);
            assert!(bench.is_done().await, "{ending}");
        }
    });
}

/// The lock went with its transaction, so another execution may have come first.
#[test]
fn whoever_completes_first_after_a_commit_of_the_handlers_wins() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.tx().execute("COMMIT").await.unwrap();
        let mut other = bench.acquire(&request("k")).await;
        other.write().await;
        assert_eq!(other.complete().await.unwrap(), Settled::Applied);
        assert_eq!(running.complete().await.unwrap(), Settled::Stale);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_transaction_kept_beyond_the_answer_is_not_committed() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        write(&mut tx).await;
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        // Whoever has it can still use it, to no effect.
        write(&mut tx).await;
        assert_eq!(bench.refused(&request("k")).await, "in progress");
        drop(tx);
        let mut next = bench.acquire_soon(&request("k")).await;
        assert_eq!(bench.effects().await, 0);
        next.write().await;
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_transaction_kept_beyond_a_failure_is_not_committed() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        write(&mut tx).await;
        let settled = running.execution.release(&Release::Free).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        drop(tx);
        let _next = bench.acquire_soon(&request("k")).await;
        assert_eq!(bench.effects().await, 0);
    });
}

/// As a handler does that bounds its own time.
#[test]
fn a_statement_that_was_given_up_does_not_confuse_the_next() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        let given_up = timeout(
            Duration::from_millis(50),
            tx.execute("SELECT pg_sleep(0.3)"),
        );
        assert!(given_up.await.is_err());
        write(&mut tx).await;
        drop(tx);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

/// Whoever changes the search path must name the schema of the records to the store.
#[test]
fn a_handler_that_hides_the_table_gets_an_error_and_no_effect() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        running
            .tx()
            .execute("SET LOCAL search_path = pg_catalog")
            .await
            .unwrap();
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert!(!bench.is_done().await);
        let _next = bench.acquire_soon(&request("k")).await;
    });
}

#[test]
fn a_transaction_that_the_handler_made_read_only_rolls_back() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        running
            .tx()
            .execute("SET TRANSACTION READ ONLY")
            .await
            .unwrap();
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert!(!bench.is_done().await);
    });
}

/// A handler meets a unique violation, say, and answers 409.
async fn refuse(running: &mut Running) -> Settled {
    let mut tx = running.tx();
    write(&mut tx).await;
    assert!(tx.execute("SELECT 1 / 0").await.is_err());
    drop(tx);
    let status = StatusCode::CONFLICT;
    let refusal = StoredResponse::new(status, &HeaderMap::new(), "there is one already");
    let refusal = Completed::new(refusal, Retention::COMPLETED);
    running.execution.complete(&refusal).await.unwrap()
}

/// Only a rollback ends such a transaction, and a refusal is right without it.
#[test]
fn a_refusal_after_a_failed_statement_is_kept_alone() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        assert_eq!(refuse(&mut running).await, Settled::Applied);
        assert_eq!((bench.effects().await, bench.completed().await), (0, 1));
        assert_eq!(bench.refused(&request("k")).await, "completed");
    });
}

/// The lock went with the transaction, and the one connection to whoever was waiting for it.
#[test]
fn whoever_comes_first_after_a_failed_statement_wins() {
    run(async {
        let postgres = postgres().await;
        let pool = pool(&postgres.options, 1).await;
        let bench = over(postgres, pool, Duration::from_secs(5), |builder| builder).await;
        let mut running = bench.acquire(&request("k")).await;
        let asked = request("k");
        let mut waiting = pin!(bench.acquire(&asked));
        assert!(
            timeout(Duration::from_millis(50), &mut waiting)
                .await
                .is_err()
        );
        let faster = async {
            let mut other = waiting.await;
            other.write().await;
            other.complete().await.unwrap()
        };
        let settled = tokio::join!(refuse(&mut running), faster);
        assert_eq!(settled, (Settled::Stale, Settled::Applied));
        assert!(bench.is_done().await);
    });
}

#[cfg(feature = "axum")]
#[test]
fn a_handler_without_a_transaction_is_told_so() {
    use axum::{
        extract::{FromRequestParts, OptionalFromRequestParts},
        http::{Request, StatusCode},
        response::IntoResponse,
    };
    use tower_idempotency_postgres::{Tx, TxUnavailable};

    run(async {
        let bench = bench().await;
        let (mut parts, ()) = Request::new(()).into_parts();
        let refused = <Tx as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.reason(), TxUnavailable::NoTransaction);
        let status = refused.into_response().status();
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let none = <Tx as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        assert!(none.unwrap().is_none());

        let running = bench.acquire(&request("k")).await;
        parts.extensions = running.extensions.clone();
        let some = <Tx as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        let _taken = some.unwrap().unwrap();
        let again = <Tx as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
        assert_eq!(again.unwrap_err().reason(), TxUnavailable::Taken);
    });
}

//! A connection that breaks, at every point.

use std::time::Duration;

use fault_proxy::{AfterSwallow, Fault};
use sqlx::Executor;
use tower_idempotency_core::{Execution, Failure, Release, Settled, Standing, StoreErrorKind};
use tower_idempotency_testkit::run;

use super::support::{Bench, bench, eventually, proxied, write};
use crate::support::request;

/// Nothing of it is there, and the key can be claimed by whoever comes again.
async fn assert_undone(bench: &Bench) {
    assert!(!bench.is_done().await);
    let mut running = bench.acquire_soon(&request("k")).await;
    running.write().await;
    assert_eq!(running.complete().await.unwrap(), Settled::Applied);
    assert!(bench.is_done().await);
}

#[test]
fn a_connection_that_breaks_before_the_handler_undoes_everything() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        bench.terminate(running.pid().await).await;
        assert!(running.tx().execute("SELECT 1").await.is_err());
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert_eq!(running.execution.standing().await.unwrap(), Standing::Lost);
        assert_undone(&bench).await;
    });
}

#[test]
fn a_connection_that_breaks_in_the_handler_undoes_everything() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let pid = running.pid().await;
        let mut tx = running.tx();
        write(&mut tx).await;
        bench.terminate(pid).await;
        assert!(tx.execute("INSERT INTO effects VALUES (2)").await.is_err());
        drop(tx);
        let failed = Release::Failed(Failure::transient("status 500"));
        let released = running.execution.release(&failed).await.unwrap();
        assert_eq!(released, Settled::Applied);
        assert_undone(&bench).await;
    });
}

#[test]
fn a_connection_that_breaks_before_the_commit_undoes_everything() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        bench.terminate(running.pid().await).await;
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert_undone(&bench).await;
    });
}

#[test]
fn a_connection_that_breaks_between_response_and_commit_undoes_everything() {
    run(async {
        let (bench, proxy) = proxied(Duration::from_secs(5), |builder| builder).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        // The response is kept, its reply lost, and the COMMIT never sent.
        proxy.swallow_next_reply_to("INSERT INTO");
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert_eq!(proxy.swallowed(), 1);
        assert_undone(&bench).await;
    });
}

#[test]
fn a_commit_whose_reply_is_lost_is_found_out_to_have_happened() {
    run(async {
        let (bench, proxy) = proxied(Duration::from_secs(5), |builder| builder).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        proxy.swallow_next_commit_reply();
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert_eq!(proxy.swallowed(), 1);
        assert!(bench.is_done().await);
        assert_eq!(bench.refused(&request("k")).await, "completed");
    });
}

#[test]
fn a_commit_whose_reply_never_comes_is_found_out_to_have_happened() {
    run(async {
        let (bench, proxy) = proxied(Duration::from_millis(600), |builder| builder).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        proxy.after_swallow(AfterSwallow::Hang);
        proxy.swallow_next_commit_reply();
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_claim_whose_reply_is_lost_leaves_nothing_behind() {
    run(async {
        let (bench, proxy) = proxied(Duration::from_secs(5), |builder| builder).await;
        for part in ["BEGIN", "idempotency_keys_lock"] {
            proxy.swallow_next_reply_to(part);
            // The lock of the broken one may still be there for a moment.
            drop(bench.acquire_soon(&request("k")).await);
            eventually("nothing is held", async || bench.in_use() == 0).await;
        }
        assert_eq!(proxy.swallowed(), 2);
        assert_undone(&bench).await;
    });
}

#[test]
fn a_commit_that_nobody_can_be_asked_about_is_unknown_until_somebody_can() {
    run(async {
        let (bench, proxy) = proxied(Duration::from_millis(600), |builder| builder).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        proxy.after_swallow(AfterSwallow::Hang);
        proxy.swallow_next_commit_reply();
        let cut_off = async {
            eventually("the COMMIT is carried out", async || proxy.swallowed() == 1).await;
            proxy.set(Fault::Refuse);
            proxy.reset();
        };
        let (completed, ()) = tokio::join!(running.complete(), cut_off);
        assert_eq!(completed.unwrap_err().kind(), StoreErrorKind::CommitUnknown);
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::CommitUnknown);
        proxy.clear();
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

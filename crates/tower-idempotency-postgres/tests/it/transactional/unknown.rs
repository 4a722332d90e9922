//! A COMMIT of which nobody knows yet what became of it.

use std::time::Duration;

use fault_proxy::Fault;
use sqlx::{Connection, Executor, PgConnection};
use tower_idempotency_core::{Execution, Release, Settled, Standing, StoreErrorKind};
use tower_idempotency_postgres::Isolation;
use tower_idempotency_testkit::run;

use super::support::{Bench, Running, eventually, hasty, proxied};
use crate::support::request;

/// Lets each COMMIT of an effect wait for a lock that the test holds.
async fn hold_commits(bench: &Bench) -> PgConnection {
    for sql in [
        "CREATE TABLE gate ()",
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql
         AS $$ BEGIN LOCK TABLE gate IN SHARE MODE; RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON effects
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()",
    ] {
        bench.postgres.execute(sql).await;
    }
    let mut gate = PgConnection::connect_with(&bench.postgres.options)
        .await
        .unwrap();
    gate.execute("BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    gate
}

/// An execution whose COMMIT hangs in a server process that lives.
async fn stuck(bench: &Bench) -> (Running, i32) {
    let mut running = bench.acquire(&request("k")).await;
    running.write().await;
    let pid = running.pid().await;
    let error = running.complete().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::CommitUnknown);
    assert!(!bench.is_done().await);
    (running, pid)
}

#[test]
fn a_commit_that_hangs_is_unknown_and_found_out_later() {
    run(async {
        let bench = hasty().await;
        let mut gate = hold_commits(&bench).await;
        let (mut running, _) = stuck(&bench).await;
        // Nobody may run the handler as long as it may still be committed.
        assert_eq!(bench.refused(&request("k")).await, "in progress");
        let error = running.execution.standing().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::CommitUnknown);
        let error = running.execution.release(&Release::Free).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::CommitUnknown);
        gate.execute("ROLLBACK").await.unwrap();
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        let standing = running.execution.standing().await.unwrap();
        assert_eq!(standing, Standing::Completed);
        assert!(bench.is_done().await);
        assert_eq!(bench.refused(&request("k")).await, "completed");
    });
}

#[test]
fn a_commit_that_hangs_and_is_ended_is_found_out_to_be_undone() {
    run(async {
        let bench = hasty().await;
        let mut gate = hold_commits(&bench).await;
        let (mut running, pid) = stuck(&bench).await;
        bench.terminate(pid).await;
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        gate.execute("ROLLBACK").await.unwrap();
        assert!(!bench.is_done().await);
        let mut next = bench.acquire(&request("k")).await;
        next.write().await;
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
        // It still says the truth, although the key has a record now.
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
    });
}

#[test]
fn whoever_took_the_key_meanwhile_is_not_taken_for_the_execution() {
    run(async {
        let bench = hasty().await;
        let mut gate = hold_commits(&bench).await;
        let (mut running, pid) = stuck(&bench).await;
        bench.terminate(pid).await;
        gate.execute("ROLLBACK").await.unwrap();
        let mut next = bench.acquire(&request("k")).await;
        next.write().await;
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert_eq!(running.complete().await.unwrap(), Settled::Stale);
        let standing = running.execution.standing().await.unwrap();
        assert_eq!(standing, Standing::Lost);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_backend_that_is_ended_in_the_commit_has_undone_everything() {
    run(async {
        let bench = super::support::bench().await;
        let mut gate = hold_commits(&bench).await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        let pid = running.pid().await;
        let ended = async {
            let waiting =
                format!("SELECT count(*) FROM pg_locks WHERE pid = {pid} AND NOT granted");
            eventually("the COMMIT waits", async || {
                bench.number(&waiting).await == 1
            })
            .await;
            bench.terminate(pid).await;
        };
        let (completed, ()) = tokio::join!(running.complete(), ended);
        assert_eq!(completed.unwrap_err().kind(), StoreErrorKind::RolledBack);
        gate.execute("ROLLBACK").await.unwrap();
        assert!(!bench.is_done().await);
        let _next = bench.acquire_soon(&request("k")).await;
    });
}

/// Above read committed, a transaction sees what was committed before its first statement: asked
/// at that level, the record of a COMMIT that came through a moment later would not be there.
#[test]
fn a_commit_that_ends_while_it_is_asked_about_is_found_out() {
    run(async {
        let set = |builder: tower_idempotency_postgres::TransactionalStoreBuilder| {
            builder.isolation(Isolation::RepeatableRead)
        };
        let (bench, proxy) = proxied(Duration::from_secs(1), set).await;
        let mut gate = hold_commits(&bench).await;
        let (mut running, _) = stuck(&bench).await;
        proxy.set(Fault::Delay(Duration::from_millis(50)));
        let asked = async {
            loop {
                match running.complete().await {
                    Err(error) if error.kind() == StoreErrorKind::CommitUnknown => {}
                    found => return found,
                }
            }
        };
        let opened = async {
            let begun = "SELECT count(*) FROM pg_stat_activity
                 WHERE application_name = current_schema() AND state = 'idle in transaction'
                   AND query ~ '^BEGIN'";
            eventually("it has begun to ask", async || {
                bench.number(begun).await > 0
            })
            .await;
            gate.execute("ROLLBACK").await.unwrap();
        };
        let (found, ()) = tokio::join!(asked, opened);
        assert_eq!(found.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

//! Effect and record, together.

use sqlx::Connection as _;
use tower_idempotency_core::{Settled, StoreErrorKind};
use tower_idempotency_testkit::run;

use super::support::{bench, write};
use crate::support::request;

#[test]
fn effect_and_record_are_seen_together() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        assert!(!bench.is_done().await);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
        // Asking again changes nothing.
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_handler_may_begin_and_end_transactions_of_its_own() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        let mut kept = tx.begin().await.unwrap();
        sqlx::query("INSERT INTO effects VALUES (1)")
            .execute(&mut *kept)
            .await
            .unwrap();
        kept.commit().await.unwrap();
        let mut undone = tx.begin().await.unwrap();
        sqlx::query("INSERT INTO effects VALUES (2)")
            .execute(&mut *undone)
            .await
            .unwrap();
        undone.rollback().await.unwrap();
        assert_eq!(bench.effects().await, 0, "a savepoint has committed");
        drop(tx);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn an_error_inside_of_a_savepoint_leaves_the_transaction_whole() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        write(&mut tx).await;
        let mut inner = tx.begin().await.unwrap();
        let failed = sqlx::query("SELECT 1 / 0").execute(&mut *inner).await;
        assert!(failed.is_err());
        // Dropped, not rolled back: the driver does it before the next statement.
        drop(inner);
        drop(tx);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

/// To commit, the driver would release the savepoint, and leave the transaction open.
#[test]
fn a_savepoint_that_was_never_ended_is_not_mistaken_for_the_transaction() {
    run(async {
        let bench = bench().await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        write(&mut tx).await;
        let leaked = Box::new(tx.begin().await.unwrap());
        let _ = std::mem::ManuallyDrop::new(leaked);
        drop(tx);
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert!(!bench.is_done().await);
        let mut running = bench.acquire(&request("k")).await;
        running.write().await;
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn a_constraint_that_fails_at_the_commit_rolls_back() {
    run(async {
        let bench = bench().await;
        let table = "CREATE TABLE parents (n int PRIMARY KEY);
             CREATE TABLE children (n int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)";
        for sql in table.split(';') {
            bench.postgres.execute(sql).await;
        }
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        write(&mut tx).await;
        sqlx::query("INSERT INTO children VALUES (1)")
            .execute(&mut *tx)
            .await
            .unwrap();
        drop(tx);
        let error = running.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        let again = running.complete().await.unwrap_err();
        assert_eq!(again.kind(), StoreErrorKind::RolledBack);
        assert!(!bench.is_done().await);
        let _running = bench.acquire(&request("k")).await;
    });
}

//! Owners that do nothing.

use std::time::Duration;

use sqlx::Executor;
use tower_idempotency_core::{Settled, StoreErrorKind};
use tower_idempotency_testkit::run;

use super::support::{bench_with, write};
use crate::support::request;

#[test]
fn a_stalled_owner_is_ended_and_its_key_is_free() {
    run(async {
        let bench = bench_with(|builder| builder.stall_timeout(Duration::from_millis(300))).await;
        let mut stalled = bench.acquire(&request("k")).await;
        let mut tx = stalled.tx();
        write(&mut tx).await;
        let mut next = bench.acquire_soon(&request("k")).await;
        next.write().await;
        assert_eq!(next.complete().await.unwrap(), Settled::Applied);
        assert!(tx.execute("SELECT 1").await.is_err());
        drop(tx);
        let error = stalled.complete().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert!(bench.is_done().await);
    });
}

#[test]
fn an_owner_that_goes_on_is_not_ended() {
    run(async {
        let bench = bench_with(|builder| builder.stall_timeout(Duration::from_millis(1_000))).await;
        let mut running = bench.acquire(&request("k")).await;
        let mut tx = running.tx();
        for _ in 0..4 {
            // One statement may take longer than an owner may do nothing.
            tx.execute("SELECT pg_sleep(0.4)").await.unwrap();
        }
        write(&mut tx).await;
        drop(tx);
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        assert!(bench.is_done().await);
    });
}

#[test]
fn the_limits_of_a_transaction_do_not_outlast_it() {
    run(async {
        let bench = bench_with(|builder| builder.stall_timeout(Duration::from_secs(7))).await;
        let mut running = bench.acquire(&request("k")).await;
        let settings = "SELECT string_agg(current_setting(name), ' ' ORDER BY name)
             FROM unnest(ARRAY['idle_in_transaction_session_timeout', 'tcp_keepalives_count',
                               'tcp_keepalives_idle', 'tcp_keepalives_interval',
                               'tcp_user_timeout']) AS name";
        let within: String = sqlx::query_scalar(settings)
            .fetch_one(&mut *running.tx())
            .await
            .unwrap();
        assert_eq!(within, "7s 4 3 1 7000");
        assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        for _ in 0..8 {
            let mut connection = bench.pool.acquire().await.unwrap();
            let after: String = sqlx::query_scalar(settings)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            assert_ne!(after, within);
            assert!(after.starts_with("0 "), "{after}");
        }
    });
}

#[test]
fn a_stall_timeout_that_cannot_work_is_refused() {
    run(async {
        let bench = bench_with(|builder| builder).await;
        let with = |timeout| {
            let builder = bench.store.store().clone().transactional_builder();
            builder.stall_timeout(timeout).build()
        };
        let day = Duration::from_secs(24 * 60 * 60);
        for timeout in [Duration::from_millis(100), day] {
            assert!(with(timeout).is_ok(), "{timeout:?}");
        }
        let moment = Duration::from_nanos(1);
        let bad = [
            Duration::ZERO,
            Duration::from_millis(100) - moment,
            day + moment,
            Duration::MAX,
        ];
        for timeout in bad {
            let error = with(timeout).unwrap_err();
            assert_eq!(error.setting(), "stall_timeout", "{timeout:?}");
        }
    });
}

/// The server takes whole milliseconds and seconds, and refuses what it does not know.
#[test]
fn the_shortest_and_the_longest_stall_timeout_are_understood_by_the_server() {
    run(async {
        for timeout in [
            Duration::from_millis(100),
            Duration::from_secs(24 * 60 * 60),
        ] {
            let bench = bench_with(|builder| builder.stall_timeout(timeout)).await;
            let mut running = bench.acquire(&request("k")).await;
            assert_eq!(running.complete().await.unwrap(), Settled::Applied);
        }
    });
}

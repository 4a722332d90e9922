//! FAIL-10: behind a pooler that gives each transaction another connection.
//!
//! Whole families run there as well, as their modules say with `pooled;`.

use std::sync::Arc;

use blackbox::{Fixture, Pooled, Setup, StoreKind, Way, fresh_key, scenarios};
use tokio::task::JoinSet;

scenarios! {
    pooled;
    [postgres]
        fail_10_sixteen_clients_meet_no_error,
        fail_10_sixteen_clients_meet_no_error_in_transactions
}

const CLIENTS: usize = 16;
const ROUNDS: usize = 20;

/// Sixteen clients who each use new keys and old ones, over four server connections.
async fn hammer(fixture: &Fixture, paths: &[&str]) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let calls = paths.iter().cycle().take(ROUNDS);
        let calls: Vec<_> = calls
            .map(|path| fixture.post(path).body(client.to_string()))
            .collect();
        clients.spawn(async move {
            for call in calls {
                let call = call.key(fresh_key());
                let first = call.clone().send().await;
                let again = call.send().await;
                if first.code().is_empty() && first.status == 503 {
                    again.assert_executed(503);
                    continue;
                }
                assert_eq!(first.status, 201, "{}", first.text());
                assert!(first.is_stored());
                again.assert_replay_of(&first);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("every answer is as it must be");
    }
    let each = CLIENTS * ROUNDS / paths.len();
    let executed = paths.iter().filter(|path| **path != "/status/503").count();
    assert_eq!(fixture.completed().await, each * executed);
    let writes = |path| paths.contains(&path);
    let expected = each * (usize::from(writes("/tx")) + 3 * usize::from(writes("/steps")));
    assert_eq!(fixture.effects().await.len(), expected);
    assert!(!fixture.logs().contains("ERROR"), "{}", fixture.logs());
}

const ALL: [&str; 4] = ["/tx", "/steps", "/echo", "/status/503"];

/// A handler that takes steps beside its transaction needs two connections, and four of them would
/// wait for each other.
const ONE_CONNECTION: [&str; 2] = ["/tx", "/status/503"];

async fn fail_10_sixteen_clients_meet_no_error(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--fenced", "--sweep-ms", "50"]).await;
    hammer(&fixture, &ALL).await;
}

async fn fail_10_sixteen_clients_meet_no_error_in_transactions(kind: StoreKind) {
    let fixture = Fixture::start(kind, &["--transactional", "--pool-size", "20"]).await;
    hammer(&fixture, &ONE_CONNECTION).await;
}

/// A fixture behind a pooler with these settings.
async fn behind(settings: &'static [(&str, &str)], way: fn(Arc<Pooled>) -> Way) -> Setup {
    let pooler = tokio::task::spawn_blocking(|| Pooled::start(settings));
    let way = way(Arc::new(pooler.await.expect("a pooler can be started")));
    let setup = Setup::new(StoreKind::Pooled);
    setup.on_server(&Pooled::server_url()).way(way)
}

#[test]
fn fail_10_a_server_that_is_not_told_of_the_pooler_refuses_to_start() {
    blackbox::run(
        env!("CARGO_BIN_EXE_fixture"),
        StoreKind::Pooled,
        |_| async {
            let said = behind(&[], Way::HiddenPooler).await.start_in_vain().await;
            assert!(said.contains("must be `Pooling::Transaction`"), "{said}");
        },
    );
}

#[test]
fn fail_10_a_pooler_of_sessions_needs_no_mode() {
    blackbox::run(
        env!("CARGO_BIN_EXE_fixture"),
        StoreKind::Pooled,
        |_| async {
            let settings = &[("pool_mode", "session"), ("default_pool_size", "40")];
            let setup = behind(settings, Way::HiddenPooler).await;
            hammer(&setup.args(&["--fenced"]).start().await, &ALL).await;
        },
    );
}

#[test]
fn fail_10_a_pooler_that_knows_prepared_statements_is_used_with_them() {
    blackbox::run(
        env!("CARGO_BIN_EXE_fixture"),
        StoreKind::Pooled,
        |_| async {
            if !Pooled::can_know_prepared_statements() {
                eprintln!("NOT TESTED: prepared statements behind PgBouncer, which needs 1.21");
                return;
            }
            let settings = &[("max_prepared_statements", "100")];
            let setup = behind(settings, Way::PoolerWithPreparedStatements).await;
            hammer(&setup.args(&["--fenced"]).start().await, &ALL).await;
            let setup = behind(settings, Way::PoolerWithPreparedStatements).await;
            hammer(
                &setup.args(&["--transactional"]).start().await,
                &ONE_CONNECTION,
            )
            .await;
        },
    );
}

//! What shares a statement shares nothing else.

use std::time::Duration;

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use sqlx::{Executor, PgTransaction};
use tokio::{sync::oneshot, time::timeout};
use tower_idempotency_core::{
    Claim, ClaimRequest, Execution, Fingerprint, Renewal, Settled, Store, StoreErrorKind,
};
use tower_idempotency_postgres::{PostgresExecution, PostgresStore};
use tower_idempotency_testkit::run;

use crate::support::{
    Postgres, acquire, complete, completed, lock_table, pool, postgres, request, store, together,
    until_waited_for, until_waiting,
};

async fn claim_all(
    store: &PostgresStore,
    requests: &[ClaimRequest],
) -> Vec<Claim<PostgresExecution>> {
    let claims = join_all(requests.iter().map(|request| store.claim(request))).await;
    claims.into_iter().map(Result::unwrap).collect()
}

fn acquired(claim: Claim<PostgresExecution>) -> PostgresExecution {
    match claim {
        Claim::Acquired(execution) => execution,
        other => panic!("expected to acquire the key: {other:?}"),
    }
}

/// Counts the transactions that have written records: each has left its number in them.
async fn commits(postgres: &Postgres) -> i64 {
    let sql = "SELECT count(DISTINCT xmin::text) FROM idempotency_keys";
    let count = sqlx::query_scalar(sql).fetch_one(&postgres.pool).await;
    count.unwrap()
}

#[test]
fn claims_and_completions_in_flight_together_share_commits() {
    run(async {
        let postgres = postgres().await;
        let store = store(&postgres, 1);
        let requests: Vec<_> = (0..100).map(|n| request(&format!("k-{n}"))).collect();
        let claims = together(&postgres, claim_all(&store, &requests)).await;
        // What the first one took before the others came, and the others.
        assert!(commits(&postgres).await <= 2);
        let mut executions: Vec<_> = claims.into_iter().map(acquired).collect();
        let response = completed(200);
        let ends = join_all(executions.iter_mut().map(|it| it.complete(&response)));
        let settled = together(&postgres, ends).await;
        assert!(
            settled
                .into_iter()
                .all(|it| it.unwrap() == Settled::Applied)
        );
        assert!(commits(&postgres).await <= 2);
    });
}

/// Which of a statement's operations went well is told only if some did not.
#[test]
fn a_batch_answers_each_of_its_claims_and_completions() {
    run(async {
        let postgres = postgres().await;
        let store = store(&postgres, 1);
        let response = completed(200);
        let running = acquire(&store, &request("running")).await;
        complete(&mut acquire(&store, &request("done")).await).await;
        let mut mine = [
            acquire(&store, &request("mine-0")).await,
            acquire(&store, &request("mine-1")).await,
        ];
        let mut lost = acquire(&store, &request("lost")).await;
        let taken = "UPDATE idempotency_keys SET token = gen_random_uuid() WHERE key = 'lost'";
        assert_eq!(postgres.execute(taken).await, 1);
        let claims = ["first", "fresh-0", "running", "done", "fresh-1"].map(request);
        let claims = claim_all(&store, &claims);
        let ends = join_all(mine.iter_mut().map(|it| it.complete(&response)));
        let all = async { tokio::join!(claims, ends, lost.complete(&response)) };
        let (claims, settled, of_lost) = together(&postgres, all).await;
        let [first, fresh, of_running, of_done, other] = claims.try_into().unwrap();
        for made in [first, fresh, other] {
            drop(acquired(made));
        }
        assert!(matches!(of_running, Claim::InProgress { .. }));
        assert!(matches!(of_done, Claim::Completed(_)), "{of_done:?}");
        for settled in settled {
            assert_eq!(settled.unwrap(), Settled::Applied);
        }
        assert_ne!(of_lost.unwrap(), Settled::Applied);
        let replays = claim_all(&store, &["mine-0", "mine-1"].map(request)).await;
        let is_replay = |claim: &Claim<_>| matches!(claim, Claim::Completed(_));
        assert!(replays.iter().all(is_replay), "{replays:?}");
        drop(running);
    });
}

#[test]
fn of_several_claims_of_a_key_in_one_batch_one_acquires_it() {
    run(async {
        let postgres = postgres().await;
        let store = store(&postgres, 1);
        let with_digest = |byte| {
            let mut request = request("k");
            let bytes = [&[1][..], &[byte; 32]].concat();
            request.fingerprint = Fingerprint::from_bytes(&bytes).unwrap();
            request
        };
        let requests = [7, 7, 7, 7, 7, 7, 7, 7, 8].map(with_digest);
        let claims = claim_all(&store, &requests).await;
        let count = |is: fn(&Claim<PostgresExecution>) -> bool| {
            claims.iter().filter(|claim| is(claim)).count()
        };
        assert_eq!(count(|claim| matches!(claim, Claim::Acquired(_))), 1);
        assert_eq!(count(|claim| matches!(claim, Claim::InProgress { .. })), 7);
        assert_eq!(count(|claim| matches!(claim, Claim::Mismatch)), 1);
    });
}

/// The server refuses such a batch, which finds the record the next time.
#[test]
fn a_batch_that_loses_the_race_for_a_key_is_run_again_as_one() {
    run(async {
        let postgres = postgres().await;
        let store = store(&postgres, 1);
        let mut before = made_elsewhere(&postgres, "before").await;
        let mut raced = made_elsewhere(&postgres, "raced").await;
        let requests = ["a", "raced", "b"].map(request);
        let others = async {
            until_waited_for(&postgres, &mut before).await;
            let race = async {
                before.commit().await.unwrap();
                until_waited_for(&postgres, &mut raced).await;
                raced.commit().await.unwrap();
            };
            tokio::join!(claim_all(&store, &requests), race).0
        };
        // The only lane waits for the first one while the others come.
        let before = request("before");
        let (before, claims) = tokio::join!(store.claim(&before), others);
        let [a, raced, b] = claims.try_into().unwrap();
        for claim in [before.unwrap(), raced] {
            assert!(matches!(claim, Claim::InProgress { .. }), "{claim:?}");
        }
        drop((acquired(a), acquired(b)));
        // Those of the two keys, and the batch's second try.
        assert_eq!(commits(&postgres).await, 3);
    });
}

/// Makes the record of a key, as a claim of another process does that is not committed yet.
async fn made_elsewhere(postgres: &Postgres, key: &str) -> PgTransaction<'static> {
    let elsewhere = store(postgres, 0);
    drop(acquire(&elsewhere, &request(key)).await);
    let mut transaction = postgres.pool.begin().await.unwrap();
    let anew = "CREATE TEMPORARY TABLE made ON COMMIT DROP AS SELECT * FROM idempotency_keys";
    transaction.execute(anew).await.unwrap();
    postgres.execute("DELETE FROM idempotency_keys").await;
    let make = "INSERT INTO idempotency_keys SELECT * FROM made";
    transaction.execute(make).await.unwrap();
    transaction
}

/// Waits for a lock much longer than [`PATIENCE`].
fn patient_store(postgres: &Postgres) -> PostgresStore {
    let builder = PostgresStore::builder(postgres.pool.clone()).batch_connections(1);
    let builder = builder.operation_timeout(Duration::from_secs(60));
    builder.build().unwrap()
}

const PATIENCE: Duration = Duration::from_secs(10);

/// Holds the row of a key.
async fn hold(postgres: &Postgres, key: &str) -> PgTransaction<'static> {
    let mut holder = postgres.pool.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM idempotency_keys WHERE key = $1 FOR UPDATE");
    holder.execute(lock.bind(key)).await.unwrap();
    holder
}

#[test]
fn a_completion_whose_row_is_held_keeps_nobody_else_waiting() {
    run(async {
        let postgres = postgres().await;
        let store = patient_store(&postgres);
        let mut held = acquire(&store, &request("held")).await;
        let mut other = acquire(&store, &request("other")).await;
        let holder = hold(&postgres, "held").await;
        let response = completed(200);
        let ending = async { held.complete(&response).await.unwrap() };
        let others = async {
            // All of these go the same way while that one waits.
            assert_eq!(other.renew().await.unwrap(), Renewal::Renewed);
            complete(&mut other).await;
            complete(&mut acquire(&store, &request("third")).await).await;
            holder.rollback().await.unwrap();
        };
        let both = async { tokio::join!(ending, others) };
        let (settled, ()) = timeout(PATIENCE, both).await.expect("nobody waits");
        assert_eq!(settled, Settled::Applied);
    });
}

#[test]
fn a_batch_does_not_wait_for_a_row_that_is_held() {
    run(async {
        let postgres = postgres().await;
        let store = patient_store(&postgres);
        let mut first = acquire(&store, &request("first")).await;
        let mut held = acquire(&store, &request("held")).await;
        let mut other = acquire(&store, &request("other")).await;
        let mut holder = hold(&postgres, "held").await;
        // Undone to the savepoint, the transaction gives up the table, and keeps the row.
        let table = "SAVEPOINT row; LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE";
        holder.execute(sqlx::raw_sql(table)).await.unwrap();
        let response = completed(200);
        let (done, other_is_done) = oneshot::channel();
        let others_completion = async {
            complete(&mut other).await;
            done.send(()).unwrap();
        };
        let release = async {
            let table = holder.execute("ROLLBACK TO SAVEPOINT row").await;
            table.unwrap();
            other_is_done.await.unwrap();
            holder.rollback().await.unwrap();
        };
        let behind_the_first = async {
            until_waiting(&postgres).await;
            tokio::join!(held.complete(&response), others_completion, release).0
        };
        let both = async { tokio::join!(first.renew(), behind_the_first) };
        let (renewed, settled) = timeout(PATIENCE, both).await.expect("nobody waits");
        assert_eq!(renewed.unwrap(), Renewal::Renewed);
        assert_eq!(settled.unwrap(), Settled::Applied);
    });
}

#[test]
fn a_claim_that_the_server_refuses_fails_alone() {
    run(async {
        let postgres = postgres().await;
        postgres
            .execute("ALTER TABLE idempotency_keys ADD CHECK (key <> 'k-13')")
            .await;
        let store = store(&postgres, 1);
        let requests: Vec<_> = (0..40).map(|n| request(&format!("k-{n}"))).collect();
        let claims = join_all(requests.iter().map(|request| store.claim(request))).await;
        for (n, claim) in claims.into_iter().enumerate() {
            match claim {
                Ok(claim) => drop(acquired(claim)),
                Err(error) => {
                    assert_eq!((n, error.kind()), (13, StoreErrorKind::Internal));
                }
            }
        }
        let made = "SELECT FROM idempotency_keys";
        assert_eq!(postgres.execute(made).await, 39);
    });
}

#[test]
fn claims_and_completions_need_no_connection_that_handlers_may_have() {
    run(async {
        let postgres = postgres().await;
        let store = PostgresStore::new(pool(&postgres.options, 1).await);
        complete(&mut acquire(&store, &request("first")).await).await;
        let _handlers = store.pool().acquire().await.unwrap();
        let mut execution = acquire(&store, &request("second")).await;
        assert_eq!(execution.renew().await.unwrap(), Renewal::Renewed);
        complete(&mut execution).await;
    });
}

#[test]
fn claims_are_refused_when_too_many_wait() {
    run(async {
        let postgres = postgres().await;
        let builder = PostgresStore::builder(postgres.pool.clone());
        let builder = builder.batch_connections(1).max_queued_claims(5);
        let store = builder.build().unwrap();
        // The only batch that can run waits for the table, so that nothing is taken from the queue.
        let holder = lock_table(&postgres).await;
        let first = request("first");
        let stuck = store.claim(&first);
        let others = async {
            until_waiting(&postgres).await;
            let requests: Vec<_> = (0..9).map(|n| request(&format!("k-{n}"))).collect();
            let mut claims: FuturesUnordered<_> = requests
                .iter()
                .map(|request| store.claim(request))
                .collect();
            for _ in 0..4 {
                let refused = claims.next().await.unwrap().unwrap_err();
                assert_eq!(refused.kind(), StoreErrorKind::Full);
            }
            holder.rollback().await.unwrap();
            let made: Vec<_> = claims.map(|claim| acquired(claim.unwrap())).collect().await;
            assert_eq!(made.len(), 5);
        };
        let (stuck, ()) = tokio::join!(stuck, others);
        drop(acquired(stuck.unwrap()));
    });
}

#[test]
fn a_closed_pool_closes_the_connections_of_batches() {
    run(async {
        let postgres = postgres().await;
        let name = format!("{}_batches", postgres.schema);
        let options = postgres.options.clone().application_name(&name);
        let store = PostgresStore::new(pool(&options, 1).await);
        complete(&mut acquire(&store, &request("k")).await).await;
        store.pool().close().await;
        let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        let closed = async {
            loop {
                let open = sqlx::query_scalar::<_, i64>(open).bind(&name);
                if open.fetch_one(&postgres.pool).await.unwrap() == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), closed).await.unwrap();
        let error = store.claim(&request("k")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    });
}

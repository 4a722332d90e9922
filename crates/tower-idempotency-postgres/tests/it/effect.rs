//! Completing a key together with a handler's only statement.

use std::error::Error;

use sqlx::{Executor, Postgres as Database, encode::IsNull, error::BoxDynError};
use tower_idempotency_core::{
    Claim, Execution, FencedCommit, RecordState, Settled, Standing, Store, StoreError,
    StoreErrorKind,
};
use tower_idempotency_postgres::Effect;
use tower_idempotency_testkit::run;

use crate::{
    fence::{LOSSES, bench, effects, fence, lose, state},
    support::{Postgres, acquire, completed, request, until_waited_for},
};

const WRITE: &str = "INSERT INTO effects VALUES (1)";

/// Claims a key and completes it together with the effect.
async fn run_once(postgres: &Postgres, effect: Effect) -> Result<Settled, StoreError> {
    let mut execution = acquire(&postgres.store, &request("k")).await;
    let fence = fence(&mut execution);
    effect.complete_and_commit(&fence, &completed(7)).await
}

async fn refused(postgres: &Postgres, effect: Effect) -> StoreError {
    let error = run_once(postgres, effect).await.unwrap_err();
    assert_eq!(state(postgres).await, Some(RecordState::InProgress));
    error
}

#[test]
fn effect_and_record_are_committed_in_one_statement() {
    run(async {
        let postgres = bench().await;
        let insert = sqlx::query("INSERT INTO effects SELECT $1 + n FROM unnest($2::int[]) AS n;");
        let effect = Effect::new(insert.bind(1).bind(vec![1, 2])).exactly(2);
        assert_eq!(run_once(&postgres, effect).await.unwrap(), Settled::Applied);
        assert_eq!(effects(&postgres).await, 2);
        match postgres.store.claim(&request("k")).await.unwrap() {
            Claim::Completed(kept) => assert_eq!(kept.response.body().unwrap().len(), 7),
            other => panic!("expected a kept response: {other:?}"),
        }
    });
}

#[test]
fn whoever_lost_the_key_has_no_effect() {
    run(async {
        for how in LOSSES {
            let postgres = bench().await;
            let mut execution = acquire(&postgres.store, &request("k")).await;
            let fence = fence(&mut execution);
            lose(&postgres, &mut execution, how).await;
            let before = postgres.store.lookup(&request("k").id).await.unwrap();
            for effect in [Effect::new(WRITE), Effect::new(WRITE).any_number()] {
                let kept = effect.complete_and_commit(&fence, &completed(7)).await;
                assert_eq!(kept.unwrap(), Settled::Stale, "{how:?}");
            }
            assert_eq!(effects(&postgres).await, 0, "{how:?}");
            let after = postgres.store.lookup(&request("k").id).await.unwrap();
            assert_eq!(after, before, "{how:?}");
        }
    });
}

#[test]
fn a_statement_that_changes_other_rows_than_it_must_is_undone() {
    run(async {
        let postgres = bench().await;
        postgres
            .execute("INSERT INTO effects VALUES (1), (2)")
            .await;
        let none = || Effect::new("DELETE FROM effects WHERE n > 2");
        let both = || Effect::new("DELETE FROM effects WHERE n > 0");
        for effect in [
            none(),
            none().exactly(1),
            both().exactly(1),
            both().exactly(3),
        ] {
            let mut execution = acquire(&postgres.store, &request("k")).await;
            let fence = fence(&mut execution);
            let kept = effect.complete_and_commit(&fence, &completed(7)).await;
            let error = kept.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::NoEffect);
            assert!(error.kind().is_undone());
            assert_eq!(effects(&postgres).await, 2);
            let standing = execution.standing().await.unwrap();
            assert_eq!(standing, Standing::InProgress);
            let free = tower_idempotency_core::Release::Free;
            assert_eq!(execution.release(&free).await.unwrap(), Settled::Applied);
        }
        for (effect, left) in [
            (none().exactly(0), 2),
            (none().any_number(), 2),
            (both(), 0),
        ] {
            assert_eq!(run_once(&postgres, effect).await.unwrap(), Settled::Applied);
            assert_eq!(effects(&postgres).await, left);
            postgres.execute("DELETE FROM idempotency_keys").await;
        }
    });
}

#[test]
fn a_violated_constraint_undoes_both_and_is_told() {
    run(async {
        let postgres = bench().await;
        let index = "CREATE UNIQUE INDEX ON effects (n); INSERT INTO effects VALUES (1)";
        postgres.pool.execute(sqlx::raw_sql(index)).await.unwrap();
        let error = refused(&postgres, Effect::new(WRITE)).await;
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        let source = error.source().unwrap().downcast_ref::<sqlx::Error>();
        let violation = source.and_then(sqlx::Error::as_database_error).unwrap();
        assert!(violation.is_unique_violation());
        assert_eq!(effects(&postgres).await, 1);
    });
}

#[test]
fn a_constraint_that_is_judged_at_the_commit_undoes_both() {
    run(async {
        let postgres = bench().await;
        let table = "CREATE TABLE parents (n int PRIMARY KEY);
                     ALTER TABLE effects ADD FOREIGN KEY (n) REFERENCES parents
                     DEFERRABLE INITIALLY DEFERRED";
        postgres.pool.execute(sqlx::raw_sql(table)).await.unwrap();
        let error = refused(&postgres, Effect::new(WRITE)).await;
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert_eq!(effects(&postgres).await, 0);
    });
}

/// The server would carry out no `SELECT` whose rows nobody reads.
#[test]
fn what_is_no_statement_that_writes_is_not_sent() {
    run(async {
        let postgres = bench().await;
        let error = refused(&postgres, Effect::new("SELECT nextval('s')")).await;
        assert_eq!(error.kind(), StoreErrorKind::Internal);
        let why = error.source().unwrap().to_string();
        assert!(why.contains("use a transaction"), "{why}");
    });
}

/// A value that has no form in the database.
struct Unencodable;

impl sqlx::Type<Database> for Unencodable {
    fn type_info() -> sqlx::postgres::PgTypeInfo {
        <i32 as sqlx::Type<Database>>::type_info()
    }
}

impl sqlx::Encode<'_, Database> for Unencodable {
    fn encode_by_ref(
        &self,
        _: &mut sqlx::postgres::PgArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        Err("there is no such number".into())
    }
}

#[test]
fn a_value_that_cannot_be_encoded_is_told() {
    run(async {
        let postgres = bench().await;
        let insert = sqlx::query("INSERT INTO effects VALUES ($1)").bind(Unencodable);
        let error = refused(&postgres, Effect::new(insert)).await;
        assert_eq!(error.kind(), StoreErrorKind::Internal);
        let why = error.source().unwrap().to_string();
        assert!(why.contains("there is no such number"), "{why}");
    });
}

/// The names within the layer's part are not seen by the handler's.
#[test]
fn a_handlers_tables_may_have_any_name() {
    run(async {
        let postgres = bench().await;
        for name in ["completed", "effect", "done"] {
            postgres
                .execute(&format!("CREATE TABLE {name} (n int)"))
                .await;
            let insert = sqlx::AssertSqlSafe(format!(
                "INSERT INTO {name} SELECT 1 WHERE NOT EXISTS (SELECT FROM {name}) -- once"
            ));
            let kept = run_once(&postgres, Effect::new(insert)).await;
            assert_eq!(kept.unwrap(), Settled::Applied, "{name}");
            let count = format!("DELETE FROM {name} WHERE n = 1");
            assert_eq!(postgres.execute(&count).await, 1, "{name}");
            postgres.execute("DELETE FROM idempotency_keys").await;
        }
    });
}

/// One of the two waits for the other, and then finds the record completed.
#[test]
fn of_two_effects_of_one_execution_one_is_committed() {
    run(async {
        let postgres = bench().await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        let kept = completed(7);
        let write = || Effect::new(WRITE).complete_and_commit(&fence, &kept);
        let (one, other) = tokio::join!(write(), write());
        let settled = [one.unwrap(), other.unwrap()];
        assert!(settled.contains(&Settled::Applied), "{settled:?}");
        assert!(settled.contains(&Settled::Stale), "{settled:?}");
        assert_eq!(effects(&postgres).await, 1);
    });
}

/// The server may go on with it, and then does all of it or nothing.
#[test]
fn an_effect_that_nobody_waits_for_any_more_agrees_with_its_record() {
    run(async {
        let postgres = bench().await;
        postgres.execute(WRITE).await;
        let mut execution = acquire(&postgres.store, &request("k")).await;
        let fence = fence(&mut execution);
        let mut holder = postgres.pool.begin().await.unwrap();
        let hold = "SELECT n FROM effects FOR UPDATE";
        holder.execute(hold).await.unwrap();
        let effect = Effect::new("UPDATE effects SET n = 2");
        let kept = completed(7);
        tokio::select! {
            biased;
            kept = effect.complete_and_commit(&fence, &kept) => panic!("{kept:?}"),
            () = until_waited_for(&postgres, &mut holder) => {}
        }
        holder.rollback().await.unwrap();
        // Whoever writes to the table next has waited for it.
        let lock = "BEGIN; LOCK TABLE effects, idempotency_keys; COMMIT";
        postgres.pool.execute(sqlx::raw_sql(lock)).await.unwrap();
        let written = postgres.execute("DELETE FROM effects WHERE n = 2").await == 1;
        let is_completed = state(&postgres).await == Some(RecordState::Completed);
        assert_eq!(written, is_completed);
    });
}

//! Completing a key in the handler's own transaction.

use std::time::Duration;

use anyhow::{Context, Result};
use chaos::{CallResult, Instructions, Verb};
use sqlx::{Database, PgPool, SqlitePool, Transaction};
use tokio::time::{sleep, timeout};
use tower_idempotency::{CompleteInError, FencedTransaction, Idempotency};
use tower_idempotency_postgres::Effect;

use crate::{
    effects::{self, in_time},
    handlers::Answer,
    run_guard::RunGuard,
};

/// The bound for completing; a statement that takes longer has an unknown outcome.
const BOUND: Duration = Duration::from_secs(2);

/// Returns whether effect and answer are certainly committed.
pub(crate) async fn in_postgres(
    pool: &PgPool,
    instructions: &Instructions,
    run: &RunGuard,
    idempotency: &Idempotency,
    answer: &Answer,
) -> bool {
    let after = Duration::from_millis(instructions.after_ms);
    if instructions.after_ms.is_multiple_of(3) && !instructions.fails(run.attempt) {
        sleep(after).await;
        return in_one_statement(run, idempotency, answer).await;
    }
    // One half of them hold the record for a while, the others commit at once.
    let hold = if instructions.after_ms.is_multiple_of(2) {
        after / 2
    } else {
        Duration::ZERO
    };
    let Ok(mut transaction) = in_time(pool.begin()).await else {
        return false;
    };
    let write = effects::in_postgres(run.row()).execute(&mut *transaction);
    if !run.effect(in_time(write)).await || instructions.fails(run.attempt) {
        return false;
    }
    sleep(after - hold).await;
    // The record is locked while this transaction goes on sleeping.
    complete_and_commit(transaction, run, idempotency, answer, hold).await
}

/// Returns whether effect and answer are certainly committed.
pub(crate) async fn in_sqlite(
    pool: &SqlitePool,
    instructions: &Instructions,
    run: &RunGuard,
    idempotency: &Idempotency,
    answer: &Answer,
) -> bool {
    // SQLite has one writer: begin late, and keep it short.
    sleep(Duration::from_millis(instructions.after_ms)).await;
    let Ok(mut transaction) = in_time(pool.begin_with("BEGIN IMMEDIATE")).await else {
        return false;
    };
    let write = effects::in_sqlite(run.row()).execute(&mut *transaction);
    if !run.effect(in_time(write)).await || instructions.fails(run.attempt) {
        return false;
    }
    complete_and_commit(transaction, run, idempotency, answer, Duration::ZERO).await
}

/// Sends effect and completion together.
async fn in_one_statement(run: &RunGuard, idempotency: &Idempotency, answer: &Answer) -> bool {
    let effect = Effect::new(effects::in_postgres(run.row()));
    let work = async {
        let commit = idempotency.complete_and_commit(effect, answer);
        let committed = timeout(BOUND, commit).await;
        Ok(committed.context("no answer in time")??)
    };
    run.effect(noted(run, work)).await
}

async fn complete_and_commit<DB, F>(
    mut transaction: Transaction<'static, DB>,
    run: &RunGuard,
    idempotency: &Idempotency,
    answer: &Answer,
    hold: Duration,
) -> bool
where
    DB: Database,
    Transaction<'static, DB>: FencedTransaction<F>,
    F: Clone + Send + Sync + 'static,
{
    let work = async {
        if hold.is_zero() {
            let commit = idempotency.complete_and_commit(transaction, answer);
            let committed = timeout(BOUND, commit).await;
            return Ok(committed.context("no answer in time")??);
        }
        let complete = idempotency.complete_in(&mut transaction, answer);
        timeout(BOUND, complete)
            .await
            .context("no answer in time")??;
        sleep(hold).await;
        in_time(transaction.commit()).await
    };
    let done = noted(run, work).await;
    if let Err(error) = &done {
        tracing::info!(
            error = format!("{error:#}"),
            "a transaction was not committed"
        );
    }
    done.is_ok()
}

/// Notes the beginning and the end of a completion.
async fn noted(run: &RunGuard, work: impl Future<Output = Result<()>>) -> Result<()> {
    let notes = &run.notes;
    notes.call(Verb::Complete, &run.identity, work, read).await
}

fn read(done: &Result<()>) -> CallResult {
    match done {
        Ok(()) => CallResult::Applied,
        Err(error) => match error.downcast_ref() {
            Some(CompleteInError::LeaseLost) => CallResult::Stale,
            _ => CallResult::Failed {
                kind: "transaction".to_owned(),
            },
        },
    }
}

//! Rounds of claims and completions that go together.

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tower_idempotency_core::{
    Claim, ClaimRequest, Completed, Execution, Fingerprint, IdempotencyKey, Retention, Scope,
    Settled, Store, StoredResponse,
};
use tower_idempotency_postgres::{PostgresExecution, PostgresStore};

/// What the benchmark's handler answers.
const BODY_BYTES: usize = 200;

/// Runs rounds in which `size` keys are claimed, and those of the round before completed.
pub(crate) fn run(url: &str, size: usize, rounds: usize) -> Result<()> {
    // One thread: all operations of a round are there before the first batch is put together.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pool = PostgresStore::connect(url).await?.pool().clone();
        // Under the tool, a second lane would take each batch for one that is stuck.
        let store = PostgresStore::builder(pool).batch_connections(1).build()?;
        store.migrate().await?;
        let mut held = claim_all(&store, size, 0).await?;
        for round in 1..=rounds {
            let (next, completed) =
                join(claim_all(&store, size, round), complete_all(&mut held)).await;
            completed?;
            held = next?;
        }
        complete_all(&mut held).await
    })
}

async fn claim_all(
    store: &PostgresStore,
    size: usize,
    round: usize,
) -> Result<Vec<PostgresExecution>> {
    let claims = (0..size).map(|number| claim(store, round * size + number));
    join_all(claims).await.into_iter().collect()
}

async fn claim(store: &PostgresStore, number: usize) -> Result<PostgresExecution> {
    let key = IdempotencyKey::new(format!("{number:08x}-40d5-43e8-bc93-6894a57f9324"))?;
    let scope = Scope::new("alice", "POST /payments");
    let request = ClaimRequest::new(scope, key, Fingerprint::OFF);
    match store.claim(&request).await? {
        Claim::Acquired(execution) => Ok(execution),
        other => bail!("a new key is not free: {other:?}"),
    }
}

async fn complete_all(executions: &mut [PostgresExecution]) -> Result<()> {
    let completions = executions.iter_mut().map(complete);
    join_all(completions).await.into_iter().collect()
}

async fn complete(execution: &mut PostgresExecution) -> Result<()> {
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let response = StoredResponse::new(StatusCode::CREATED, &headers, body);
    let completed = Completed::new(response, Retention::COMPLETED);
    let settled = execution.complete(&completed).await?;
    ensure!(settled == Settled::Applied, "a completion is stale");
    Ok(())
}

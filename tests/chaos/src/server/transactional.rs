//! Handlers that the layer hands the transaction.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use chaos::Instructions;
use http::{StatusCode, request::Parts};
use tower_idempotency::Idempotency;
use tower_idempotency_postgres::Tx;
use tower_idempotency_sqlite::Tx as SqliteTx;

use crate::{
    effects::{self, in_time},
    handlers::{Answer, Shared, before_the_effect, behind_the_effect, end, outcome},
    notes::Identity,
};

/// Has the transaction for as long as it runs.
pub(crate) async fn in_postgres(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    idempotency: Idempotency,
    mut transaction: Tx,
    Json(instructions): Json<Instructions>,
) -> Answer {
    let run = shared.begin(identity, &idempotency);
    let status = match before_the_effect(&instructions, &run).await {
        Some(status) => status,
        None => {
            let write = effects::in_postgres(run.row()).execute(&mut *transaction);
            let confirmed = run.effect(in_time(write)).await;
            behind_the_effect(&instructions).await;
            outcome(&instructions, &run, confirmed)
        }
    };
    drop(transaction);
    end(&shared, run, status)
}

/// Asks for the transaction late: while it is open, nobody else can write.
pub(crate) async fn in_sqlite(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    idempotency: Idempotency,
    head: Parts,
    Json(instructions): Json<Instructions>,
) -> Answer {
    let run = shared.begin(identity, &idempotency);
    if let Some(status) = before_the_effect(&instructions, &run).await {
        return end(&shared, run, status);
    }
    behind_the_effect(&instructions).await;
    let status = match SqliteTx::take_from(&head.extensions).await {
        Ok(mut transaction) => {
            let write = effects::in_sqlite(run.row()).execute(&mut *transaction);
            let confirmed = run.effect(in_time(write)).await;
            outcome(&instructions, &run, confirmed)
        }
        Err(error) => {
            tracing::info!(%error, "there is no transaction");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    end(&shared, run, status)
}

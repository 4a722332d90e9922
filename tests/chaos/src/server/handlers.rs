//! Handlers that do as they are told, and write down how far they came.

use std::{sync::Arc, thread, time::Duration};

use axum::{Extension, Json, extract::State, response::IntoResponse};
use chaos::{EXECUTION_HEADER, FailureKind, Instructions, RunEnd, Seen};
use http::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use tower_idempotency::Idempotency;
use uuid::Uuid;

use crate::{
    arguments::Arguments,
    effects::{Effect, Effects},
    notes::{Identity, Notes},
};

/// What the handlers need.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    effects: Effects,
    notes: Arc<Notes>,
}

impl Shared {
    pub(crate) fn new(arguments: &Arguments, effects: Effects, notes: Arc<Notes>) -> Self {
        Self {
            name: arguments.name.clone(),
            effects,
            notes,
        }
    }
}

/// Works without a key, and without the store.
pub(crate) async fn unkeyed() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Leaves an effect in a statement of its own.
pub(crate) async fn effect(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    idempotency: Idempotency,
    Json(instructions): Json<Instructions>,
) -> impl IntoResponse {
    let attempt = idempotency.attempt().number;
    let run = RunGuard::begin(&shared.notes, &identity, attempt);
    let execution = run.execution.clone();
    let status = follow(&shared, &instructions, attempt, &run).await;
    run.end(status);
    let body = json!({
        "operation": instructions.operation,
        "attempt": attempt,
        "execution": execution,
        "server": shared.name,
    });
    (status, [(EXECUTION_HEADER, execution)], Json(body))
}

async fn follow(
    shared: &Shared,
    instructions: &Instructions,
    attempt: u32,
    run: &RunGuard,
) -> StatusCode {
    sleep(Duration::from_millis(instructions.before_ms)).await;
    let failure = instructions.fails(attempt).then_some(instructions.failure);
    match failure {
        Some(FailureKind::Status) => return StatusCode::INTERNAL_SERVER_ERROR,
        Some(FailureKind::Panic) => panic!("the handler was asked to panic"),
        _ if instructions.refuses => return StatusCode::PAYMENT_REQUIRED,
        _ => {}
    }
    let effect = Effect {
        operation: instructions.operation.clone(),
        attempt,
        execution: run.execution.clone(),
    };
    run.notes.note(Seen::EffectBegins { run: run.number });
    let written = shared.effects.write(&effect).await;
    run.notes.note(Seen::EffectEnds {
        run: run.number,
        confirmed: written.is_ok(),
    });
    sleep(Duration::from_millis(instructions.after_ms)).await;
    if let Err(error) = written {
        tracing::info!(%error, "an effect was not confirmed");
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    if failure.is_some() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::CREATED
}

/// Notes the end of a run, however it ends.
struct RunGuard {
    notes: Arc<Notes>,
    number: u64,
    execution: String,
    is_over: bool,
}

impl RunGuard {
    fn begin(notes: &Arc<Notes>, identity: &Identity, attempt: u32) -> Self {
        let run = Self {
            notes: Arc::clone(notes),
            number: notes.number(),
            execution: Uuid::new_v4().to_string(),
            is_over: false,
        };
        notes.note(Seen::RunBegins {
            run: run.number,
            key: identity.key.clone(),
            token: identity.token.clone(),
            attempt,
            execution: run.execution.clone(),
        });
        run
    }

    fn end(mut self, status: StatusCode) {
        self.is_over = true;
        self.note(RunEnd::Answered {
            status: status.as_u16(),
        });
    }

    fn note(&self, end: RunEnd) {
        self.notes.note(Seen::RunEnds {
            run: self.number,
            end,
        });
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.note(if thread::panicking() {
            RunEnd::Panicked
        } else {
            RunEnd::Dropped
        });
    }
}

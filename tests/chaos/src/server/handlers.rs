//! Handlers that do as they are told.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use chaos::{EXECUTION_HEADER, FailureKind, Instructions};
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use tokio::time::sleep;
use tower_idempotency::Idempotency;

use crate::{
    arguments::Arguments,
    effects::Effects,
    fenced,
    notes::{Identity, Notes},
    run_guard::RunGuard,
};

/// An answer whose body is there, so that it can be kept in a transaction.
pub(crate) type Answer = Response<String>;

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

    pub(crate) fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }

    pub(crate) fn begin(&self, identity: Identity, idempotency: &Idempotency) -> RunGuard {
        RunGuard::begin(&self.notes, identity, idempotency.attempt().number)
    }

    fn answer(&self, run: &RunGuard, status: StatusCode) -> Answer {
        let body = json!({
            "operation": run.identity.key,
            "attempt": run.attempt,
            "execution": run.execution,
            "server": self.name,
        });
        let mut answer = Response::new(body.to_string());
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let execution = HeaderValue::from_str(&run.execution).expect("a UUID is plain text");
        headers.insert(EXECUTION_HEADER, execution);
        answer
    }
}

/// Works without a key, and without the store.
pub(crate) async fn unkeyed() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Leaves an effect in a statement of its own.
pub(crate) async fn leased(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    idempotency: Idempotency,
    Json(instructions): Json<Instructions>,
) -> Answer {
    let run = shared.begin(identity, &idempotency);
    let status = match before_the_effect(&instructions, &run).await {
        Some(status) => status,
        None => {
            let confirmed = run.effect(shared.effects.write(run.row())).await;
            behind_the_effect(&instructions).await;
            outcome(&instructions, &run, confirmed)
        }
    };
    end(&shared, run, status)
}

/// Leaves an effect in a transaction, and completes the key in it.
pub(crate) async fn fenced(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    idempotency: Idempotency,
    Json(instructions): Json<Instructions>,
) -> Answer {
    let run = shared.begin(identity, &idempotency);
    if let Some(status) = before_the_effect(&instructions, &run).await {
        return end(&shared, run, status);
    }
    let answer = shared.answer(&run, StatusCode::CREATED);
    let committed = match &shared.effects {
        Effects::Postgres(pool) => {
            fenced::in_postgres(pool, &instructions, &run, &idempotency, &answer).await
        }
        Effects::Sqlite(pool) => {
            fenced::in_sqlite(pool, &instructions, &run, &idempotency, &answer).await
        }
    };
    if committed {
        run.end(StatusCode::CREATED);
        return answer;
    }
    end(&shared, run, StatusCode::INTERNAL_SERVER_ERROR)
}

pub(crate) fn end(shared: &Shared, run: RunGuard, status: StatusCode) -> Answer {
    let answer = shared.answer(&run, status);
    run.end(status);
    answer
}

/// Works, and returns a status if there is to be no effect.
pub(crate) async fn before_the_effect(
    instructions: &Instructions,
    run: &RunGuard,
) -> Option<StatusCode> {
    sleep(Duration::from_millis(instructions.before_ms)).await;
    match instructions.failure {
        FailureKind::Status if instructions.fails(run.attempt) => {
            Some(StatusCode::INTERNAL_SERVER_ERROR)
        }
        FailureKind::Panic if instructions.fails(run.attempt) => {
            panic!("the handler was asked to panic")
        }
        _ => instructions.refuses.then_some(StatusCode::PAYMENT_REQUIRED),
    }
}

pub(crate) async fn behind_the_effect(instructions: &Instructions) {
    sleep(Duration::from_millis(instructions.after_ms)).await;
}

pub(crate) fn outcome(instructions: &Instructions, run: &RunGuard, confirmed: bool) -> StatusCode {
    if confirmed && !instructions.fails(run.attempt) {
        StatusCode::CREATED
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

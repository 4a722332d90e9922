//! Submitting: with the layer, and as it was before.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use sqlx::{FromRow, Row, any::AnyRow};
use sqlx_once::{Once, insert_or_fetch};
use tokio::{sync::Notify, time::timeout};
use tower_idempotency::{Idempotency, KeyStanding};
use uuid::Uuid;

use crate::{Invites, Submission, internal, open::App};

#[derive(Deserialize)]
pub(crate) struct Form {
    token: String,
    name: String,
}

/// Takes the submission of an invite. Whether it can be used, the layer has found out.
pub(crate) async fn once(
    State(app): State<App>,
    key: Idempotency,
    Json(form): Json<Form>,
) -> Result<Response, StatusCode> {
    if form.name.trim().is_empty() {
        // Not a success, so it does not use the invite up.
        return Ok(refuse(StatusCode::UNPROCESSABLE_ENTITY, "Who are you?"));
    }
    let saved = app.save_once(key.key().as_str(), &form.name).await;
    Ok(match saved.map_err(internal)? {
        Once::Inserted(new) => (StatusCode::CREATED, Json(new)).into_response(),
        // An earlier run saved it, and died before the layer could keep its answer.
        Once::Existing(Submission { id, name }) => {
            Json(json!({ "id": id, "name": name, "idempotent": true })).into_response()
        }
    })
}

impl App {
    /// Saves one submission for a token, whatever dies in between.
    async fn save_once(
        &self,
        token: &str,
        name: &str,
    ) -> Result<Once<Submission>, sqlx_once::Error> {
        let insert = "INSERT INTO submissions (id, name, invite, token) VALUES ($1, $2, $3, $3)
            ON CONFLICT (token) DO NOTHING RETURNING id, name";
        let fetch = "SELECT id, name FROM submissions WHERE token = $1";
        let mut connection = self.database.pool.acquire().await?;
        insert_or_fetch(
            &mut connection,
            sqlx::query_as(insert)
                .bind(Uuid::new_v4().to_string())
                .bind(name)
                .bind(token),
            sqlx::query_as(fetch).bind(token),
        )
        .await
    }

    pub(crate) async fn all(&self) -> sqlx::Result<Vec<Submission>> {
        let all = sqlx::query_as("SELECT id, name FROM submissions ORDER BY id");
        all.fetch_all(&self.database.pool).await
    }
}

impl FromRow<'_, AnyRow> for Submission {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
        })
    }
}

/// As it was: a guard that reads, and then writes.
pub(crate) async fn unguarded(
    State(app): State<App>,
    Json(form): Json<Form>,
) -> Result<Response, StatusCode> {
    let Invites::Table(invites) = &app.invites else {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    };
    match invites.find(&form.token).await.map_err(internal)? {
        KeyStanding::Valid { .. } => {}
        KeyStanding::Expired => return Ok(refuse(StatusCode::GONE, "This invite has expired")),
        KeyStanding::Used => return Ok(refuse(StatusCode::CONFLICT, "This invite was used")),
        _ => return Ok(refuse(StatusCode::BAD_REQUEST, "Invalid invite token")),
    }
    app.between.pause().await;
    let id = Uuid::new_v4().to_string();
    let insert = "INSERT INTO submissions (id, name, invite) VALUES ($1, $2, $3)";
    let insert = sqlx::query(insert).bind(&id).bind(&form.name);
    let inserted = insert.bind(&form.token).execute(&app.database.pool).await;
    inserted.map_err(internal)?;
    let mark = sqlx::query("UPDATE invites SET used_at = 1 WHERE token = $1");
    let marked = mark.bind(&form.token).execute(&app.database.pool).await;
    marked.map_err(internal)?;
    let name = form.name;
    Ok((StatusCode::CREATED, Json(Submission { id, name })).into_response())
}

/// What the original did between reading and writing, drawn out so that the fault can be seen by
/// hand: it lasts for a second, or until somebody else has come here.
#[derive(Default)]
pub(crate) struct Between {
    is_waiting: AtomicBool,
    met: Notify,
}

impl Between {
    async fn pause(&self) {
        if self.is_waiting.swap(true, Ordering::SeqCst) {
            self.met.notify_one();
        } else {
            let _ = timeout(Duration::from_secs(1), self.met.notified()).await;
            self.is_waiting.store(false, Ordering::SeqCst);
        }
    }
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

//! What "save" does: an event that is paid for in advance, or on credit if the client says so.

use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};
use sqlx_once::{Once, insert_or_fetch};
use tower_idempotency::{Idempotency, NotFinal};
use uuid::Uuid;

use crate::{messages, open::App, page};

#[derive(Deserialize)]
pub(crate) struct Wanted {
    client: String,
    title: String,
    price: i64,
}

#[derive(Deserialize)]
pub(crate) struct Confirmation {
    #[serde(default)]
    confirm_credit: u8,
}

#[derive(Serialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) title: String,
    pub(crate) price: i64,
}

/// What came of a wish.
enum Saved {
    Created(Event),
    /// It was there: a crash came between its commit and the layer's record.
    Found(Event),
    /// Nothing was done: so much money would be missing.
    OnCredit(i64),
}

/// Creates an event, or asks whether it may be on credit.
///
/// The question is not the end: the layer gives the key up, and the confirmation comes with it.
/// Kept, as any other 402 is, it would make the confirmation another request with a used key.
pub(crate) async fn create(
    State(app): State<App>,
    Query(confirmation): Query<Confirmation>,
    headers: HeaderMap,
    key: Option<Idempotency>,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Failed> {
    let token = key.as_ref().map(|key| key.key().as_str());
    let may_owe = confirmation.confirm_credit == 1;
    let (status, event) = match app.save(token, &wanted, may_owe).await? {
        Saved::Created(event) => (StatusCode::CREATED, event),
        Saved::Found(event) => (StatusCode::OK, event),
        Saved::OnCredit(missing) => {
            let message = messages::on_credit(&headers, missing);
            let question = refusal("CREDIT_NOT_CONFIRMED", &message);
            return Ok((StatusCode::PAYMENT_REQUIRED, NotFinal, question).into_response());
        }
    };
    Ok((status, Json(json!({ "success": true, "data": event }))).into_response())
}

pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Event>>, Failed> {
    Ok(Json(app.all().await?))
}

pub(crate) async fn show(State(app): State<App>) -> Result<Html<String>, Failed> {
    Ok(Html(page::render(&app.all().await?)))
}

impl App {
    /// Takes the price and makes the event, in one transaction; a question rolls it back.
    async fn save(
        &self,
        token: Option<&str>,
        wanted: &Wanted,
        may_owe: bool,
    ) -> Result<Saved, sqlx_once::Error> {
        let mut transaction = self.0.begin_to_write().await?;
        let event = insert(&mut transaction, token, wanted).await?;
        let event = match event {
            Once::Inserted(event) => event,
            Once::Existing(event) => return Ok(Saved::Found(event)),
        };
        let balance = pay(&mut transaction, wanted).await?;
        if balance < 0 && !may_owe {
            transaction.rollback().await?;
            return Ok(Saved::OnCredit(-balance));
        }
        transaction.commit().await?;
        Ok(Saved::Created(event))
    }

    async fn all(&self) -> sqlx::Result<Vec<Event>> {
        let all = sqlx::query_as("SELECT id, client, title, price FROM events ORDER BY client, id");
        all.fetch_all(&self.0.pool).await
    }
}

/// The layer answers a second sending. If this process dies between the commit and that, the
/// sending after the crash finds the event by the same token.
async fn insert(
    transaction: &mut AnyConnection,
    token: Option<&str>,
    wanted: &Wanted,
) -> Result<Once<Event>, sqlx_once::Error> {
    let insert = "INSERT INTO events (id, client, title, price, token) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (token) DO NOTHING RETURNING id, client, title, price";
    let insert = sqlx::query_as(insert)
        .bind(Uuid::new_v4().to_string())
        .bind(&wanted.client)
        .bind(&wanted.title)
        .bind(wanted.price)
        .bind(token);
    let fetch = "SELECT id, client, title, price FROM events WHERE token = $1";
    let fetch = sqlx::query_as(fetch).bind(token);
    insert_or_fetch(transaction, insert, fetch).await
}

/// Returns what the client has then; written first, so that nobody else pays with the same money.
async fn pay(transaction: &mut AnyConnection, wanted: &Wanted) -> sqlx::Result<i64> {
    let pay = "INSERT INTO clients (name, balance) VALUES ($1, -CAST($2 AS BIGINT))
        ON CONFLICT (name) DO UPDATE SET balance = clients.balance + excluded.balance
        RETURNING balance";
    let pay = sqlx::query_scalar(pay)
        .bind(&wanted.client)
        .bind(wanted.price);
    pay.fetch_one(transaction).await
}

impl FromRow<'_, AnyRow> for Event {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            client: row.try_get("client")?,
            title: row.try_get("title")?,
            price: row.try_get("price")?,
        })
    }
}

fn refusal(code: &str, message: &str) -> Json<serde_json::Value> {
    let error = json!({ "code": code, "message": message });
    Json(json!({ "success": false, "error": error }))
}

/// A 500 is not kept: the key is marked as failed, and the next request with it runs.
pub(crate) struct Failed;

impl<E: std::error::Error + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        Self
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let refusal = refusal(
            "FAILED",
            "Nothing was saved. Send it again with the same key.",
        );
        (StatusCode::INTERNAL_SERVER_ERROR, refusal).into_response()
    }
}

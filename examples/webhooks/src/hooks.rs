//! The handlers: what a delivery does.

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post, put},
};
use serde::{Deserialize, Serialize};
use sqlx::AnyPool;
use tower_idempotency::Idempotency;

/// An order, as some other service sends it.
#[derive(Deserialize)]
struct Order {
    product: String,
    customer: String,
    /// For trying it out: how many attempts fail.
    #[serde(default)]
    fails: u32,
}

#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    branch: String,
}

#[derive(Serialize)]
struct Shipment {
    id: String,
    product: String,
    customer: String,
}

pub(crate) fn orders(shop: &AnyPool) -> Router {
    Router::new()
        .route("/hooks/orders", post(ship))
        .with_state(shop.clone())
}

pub(crate) fn github(shop: &AnyPool) -> Router {
    Router::new()
        .route("/hooks/github", post(pushed))
        .with_state(shop.clone())
}

pub(crate) fn products(shop: &AnyPool) -> Router {
    Router::new()
        .route("/products/{name}", put(introduce))
        .route("/shipments", get(shipments))
        .with_state(shop.clone())
}

/// Ships an order: nothing that could be taken back.
async fn ship(
    State(shop): State<AnyPool>,
    idempotency: Option<Extension<Idempotency>>,
    Json(order): Json<Order>,
) -> Result<StatusCode, StatusCode> {
    let attempt = idempotency.map_or(1, |Extension(it)| it.attempt().number);
    if attempt <= order.fails {
        // The inbox takes a 5xx for something that passes, and comes again.
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let known = sqlx::query("SELECT name FROM products WHERE name = $1").bind(&order.product);
    if known.fetch_optional(&shop).await.map_err(failed)?.is_none() {
        // It takes a 4xx for something that lasts: this is a dead letter.
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    sqlx::query("INSERT INTO shipments (id, product, customer) VALUES ($1, $2, $3)")
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(order.product)
        .bind(order.customer)
        .execute(&shop)
        .await
        .map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn pushed(
    State(shop): State<AnyPool>,
    Json(push): Json<Push>,
) -> Result<StatusCode, StatusCode> {
    sqlx::query("INSERT INTO pushes (id, branch) VALUES ($1, $2)")
        .bind(uuid::Uuid::new_v4().to_string())
        .bind(push.branch)
        .execute(&shop)
        .await
        .map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn introduce(
    State(shop): State<AnyPool>,
    Path(name): Path<String>,
) -> Result<StatusCode, StatusCode> {
    sqlx::query("INSERT INTO products (name) VALUES ($1) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .execute(&shop)
        .await
        .map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn shipments(State(shop): State<AnyPool>) -> Result<Json<Vec<Shipment>>, StatusCode> {
    let all = "SELECT id, product, customer FROM shipments ORDER BY customer";
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(all).fetch_all(&shop).await.map_err(failed)?;
    let shipments = rows.into_iter().map(|(id, product, customer)| Shipment {
        id,
        product,
        customer,
    });
    Ok(Json(shipments.collect()))
}

fn failed(_: sqlx::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

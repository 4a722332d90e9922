//! The operator's routes.

mod view;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Delivery, DeliveryId, DeliveryPage, DeliveryState, Inbox, InboxError, Redelivery,
    answer::problem_document, error::chain,
};

/// The most days that can be asked for.
const MOST_DAYS: u32 = 366;

impl Inbox {
    /// Returns JSON endpoints for operators, to mount **behind your own authentication**.
    ///
    /// | | |
    /// |---|---|
    /// | `GET /deliveries?state=&after=&limit=` | the latest first; `next` is the next page's `after` |
    /// | `GET /dead-letters?after=&limit=` | the same for those that are `dead` |
    /// | `GET /deliveries/{id}` | one of them |
    /// | `POST /deliveries/{id}/redeliver` | 202, or 409 `DELIVERY_NOT_FAILED`, or 429 `REDELIVERY_RATE_LIMITED` with `Retry-After` |
    /// | `GET /statistics?days=7` | counts by day |
    ///
    /// They show keys, paths and errors; no body, no header, no query.
    /// Errors are RFC 9457 problem documents with a stable `code`.
    /// Where browsers say so, requests that another site has caused are refused.
    pub fn operator_routes(&self) -> Router {
        Router::new()
            .route("/deliveries", get(list))
            .route("/dead-letters", get(dead_letters))
            .route("/deliveries/{id}", get(show))
            .route("/deliveries/{id}/redeliver", post(redeliver))
            .route("/statistics", get(statistics))
            .with_state(self.clone())
    }
}

#[derive(Deserialize)]
struct Page {
    state: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct Days {
    days: Option<u32>,
}

type Asked<T> = Result<Query<T>, QueryRejection>;

async fn list(State(inbox): State<Inbox>, asked: Asked<Page>) -> Result<Response, Refusal> {
    let page = page(asked)?;
    Ok(listed(&page, &inbox.list(&page).await?))
}

async fn dead_letters(State(inbox): State<Inbox>, asked: Asked<Page>) -> Result<Response, Refusal> {
    let page = page(asked)?;
    Ok(listed(&page, &inbox.dead_letters(&page).await?))
}

async fn show(State(inbox): State<Inbox>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let found = inbox.delivery(parse_id(&id)?).await?;
    let found = found.ok_or(Refusal::Absent)?;
    Ok(Json(view::delivery(&found)).into_response())
}

async fn redeliver(
    State(inbox): State<Inbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if is_cross_site(&headers) {
        return Err(Refusal::CrossSite);
    }
    match inbox.redeliver(parse_id(&id)?).await? {
        Redelivery::Queued => {
            let queued = json!({ "id": id, "state": DeliveryState::Failed.as_str() });
            Ok((StatusCode::ACCEPTED, Json(queued)).into_response())
        }
        Redelivery::Absent => Err(Refusal::Absent),
        Redelivery::NotFailed(state) => Err(Refusal::NotFailed(state)),
        Redelivery::RateLimited { retry_after } => Err(Refusal::Limited(retry_after)),
    }
}

async fn statistics(State(inbox): State<Inbox>, asked: Asked<Days>) -> Result<Response, Refusal> {
    let Query(Days { days }) = asked.map_err(|_| Refusal::Malformed)?;
    let days = days.unwrap_or(7);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Refusal::Malformed);
    }
    let counted = inbox.statistics(days).await?;
    let counted: Vec<_> = counted.iter().map(view::day).collect();
    Ok(Json(json!({ "days": counted })).into_response())
}

fn page(asked: Asked<Page>) -> Result<DeliveryPage, Refusal> {
    let Query(asked) = asked.map_err(|_| Refusal::Malformed)?;
    let mut page = DeliveryPage::default();
    if let Some(word) = asked.state.filter(|word| !word.is_empty()) {
        page.state = Some(DeliveryState::from_word(&word).ok_or(Refusal::Malformed)?);
    }
    page.after = asked.after.as_deref().map(parse_id).transpose()?;
    page.limit = asked.limit.unwrap_or(page.limit);
    if !(1..=1_000).contains(&page.limit) {
        return Err(Refusal::Malformed);
    }
    Ok(page)
}

fn parse_id(id: &str) -> Result<DeliveryId, Refusal> {
    id.parse().map_err(|_| Refusal::Absent)
}

fn listed(page: &DeliveryPage, deliveries: &[Delivery]) -> Response {
    let is_full = u32::try_from(deliveries.len()) == Ok(page.limit);
    let last = deliveries.last().filter(|_| is_full);
    let next = last.map(|delivery| delivery.id.to_string());
    let deliveries: Vec<_> = deliveries.iter().map(view::delivery).collect();
    Json(json!({ "deliveries": deliveries, "next": next })).into_response()
}

/// Tells whether a browser says that another site has caused a request.
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
}

/// Why an operator's request is refused.
enum Refusal {
    Absent,
    CrossSite,
    Failed(InboxError),
    Limited(Duration),
    Malformed,
    NotFailed(DeliveryState),
}

impl From<InboxError> for Refusal {
    fn from(error: InboxError) -> Self {
        Self::Failed(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, detail) = match &self {
            Self::Absent => (
                StatusCode::NOT_FOUND,
                "DELIVERY_NOT_FOUND",
                "There is no such delivery.",
            ),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "CROSS_SITE_REQUEST",
                "Another site has caused this request.",
            ),
            Self::Failed(error) => {
                let error = chain(error);
                tracing::error!(error, "an operator's request failed");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "INBOX_UNAVAILABLE",
                    "The inbox's database failed.",
                )
            }
            Self::Limited(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "REDELIVERY_RATE_LIMITED",
                "Too many redeliveries were asked for.",
            ),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "REQUEST_MALFORMED",
                "A parameter is not what it should be.",
            ),
            Self::NotFailed(state) => (
                StatusCode::CONFLICT,
                "DELIVERY_NOT_FAILED",
                match state {
                    DeliveryState::Succeeded => "The delivery has succeeded.",
                    _ => "The delivery's first attempt has not ended.",
                },
            ),
        };
        let problem = HeaderValue::from_static("application/problem+json");
        let kind = [(header::CONTENT_TYPE, problem)];
        let body = problem_document(status, code, detail);
        let mut response = (status, kind, body).into_response();
        if let Self::Limited(pause) = self {
            // Rounded up, since whoever comes a moment too early is refused again.
            let seconds = HeaderValue::from(pause.as_secs() + 1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

//! The page at `/`: pay, pay again, lose an answer on purpose, and look at what happened.
//!
//! Your own service needs none of this.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::Serialize;

/// A request that has this header is not answered.
const LOSE: &str = "x-lose-answer";

/// By this header the page recognises its requests.
const PRESS: &str = "x-press";

/// How many requests are remembered.
const REMEMBERED: usize = 100;

/// Says to the browser that the page needs nothing from anywhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:";

/// Adds the page to a service, and what the page needs to show what arrives.
pub(crate) fn around(app: Router) -> Router {
    let log = Log::default();
    app.layer(from_fn_with_state(log.clone(), watch)).merge(
        Router::new()
            .route("/", get(page))
            .route("/arrivals", get(arrivals))
            .with_state(log),
    )
}

async fn page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(include_str!("page.html")))
}

/// What the page has sent, as it arrived: a browser may send more than once what is pressed once.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<Arrival>>>);

/// A request and what it was answered. The key is not here: the page knows its own.
#[derive(Clone, Serialize)]
struct Arrival {
    press: String,
    status: u16,
    stored: bool,
    replay: Option<String>,
    retry_after: Option<String>,
    lost: bool,
}

async fn arrivals(State(Log(log)): State<Log>) -> Json<Vec<Arrival>> {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    Json(log.iter().cloned().collect())
}

/// Notes what the page sends, and loses the answer where that is asked for.
async fn watch(State(Log(log)): State<Log>, request: Request, next: Next) -> Response {
    let press = text(request.headers(), PRESS);
    let lost = request.headers().contains_key(LOSE);
    // By now the payment is committed, and its answer is kept.
    let response = next.run(request).await;
    if let Some(press) = press {
        let headers = response.headers();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.truncate(REMEMBERED - 1);
        log.push_front(Arrival {
            press,
            status: response.status().as_u16(),
            stored: text(headers, "x-idempotency-stored").is_some_and(|value| value == "true"),
            replay: text(headers, "x-idempotency-replay"),
            retry_after: text(headers, "retry-after"),
            lost,
        });
    }
    if lost {
        return Response::new(Body::new(Cut));
    }
    response
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A body that fails at once: the server closes the connection and has written nothing.
struct Cut;

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("the answer is lost on purpose"))))
    }
}

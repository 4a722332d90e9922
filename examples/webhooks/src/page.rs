//! The page that shows what came of the deliveries.

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Html,
    routing::get,
};
use serde::Deserialize;
use tower_idempotency_inbox::{
    DayStatistics, Delivery, DeliveryPage, DeliveryState, Inbox, InboxError,
};

pub(crate) fn page(inbox: &Inbox) -> Router {
    Router::new()
        .route("/", get(show))
        .with_state(inbox.clone())
}

#[derive(Deserialize)]
struct Days {
    days: Option<u32>,
}

async fn show(
    State(inbox): State<Inbox>,
    Query(asked): Query<Days>,
) -> Result<Html<String>, StatusCode> {
    let days = asked.days.unwrap_or(7).clamp(1, 366);
    let html = render(&inbox, days).await;
    html.map(Html).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn render(inbox: &Inbox, days: u32) -> Result<String, InboxError> {
    let page = DeliveryPage::default().limit(50);
    let dead: String = inbox.dead_letters(&page).await?.iter().map(row).collect();
    let latest: String = inbox.list(&page).await?.iter().map(row).collect();
    let counted: String = inbox.statistics(days).await?.iter().map(day).collect();
    Ok(format!(
        r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Webhooks</title>
<style>
  body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }}
  table {{ border-collapse: collapse; }}
  th, td {{ text-align: left; padding: .2rem .8rem; border-bottom: 1px solid #ddd; }}
  .dead {{ color: #a00; }} .succeeded {{ color: #070; }}
</style>
<h1>Webhooks</h1>
<p id="note" role="status"></p>
<h2>Dead letters</h2>
<table><tr>{HEAD}</tr>{dead}</table>
<h2>Latest deliveries</h2>
<table><tr>{HEAD}</tr>{latest}</table>
<h2>Statistics</h2>
<form>The last <input name="days" type="number" min="1" max="366" value="{days}"> days</form>
<table><tr><th>Day<th>Received<th>Without a key<th>Succeeded<th>Waiting<th>Dead<th>Retried
<th>Redelivered</tr>{counted}</table>
<script>{SCRIPT}</script>
</html>"#
    ))
}

const HEAD: &str = "<th>Trigger<th>Key<th>State<th>Attempts<th>Last error<th>";

/// Tells refusals apart by their code, never by their text.
const SCRIPT: &str = "
for (const button of document.querySelectorAll('button[data-id]')) {
  button.onclick = async () => {
    const url = `/operator/deliveries/${button.dataset.id}/redeliver`;
    const reply = await fetch(url, { method: 'POST' });
    if (reply.ok) return setTimeout(() => location.reload(), 500);
    const problem = await reply.json();
    const seconds = reply.headers.get('Retry-After');
    document.getElementById('note').textContent =
      problem.code === 'REDELIVERY_RATE_LIMITED'
        ? `Too often. Try again in ${seconds} s.`
        : problem.detail;
  };
}";

fn row(delivery: &Delivery) -> String {
    let id = delivery.id;
    let may_run_again = matches!(delivery.state, DeliveryState::Failed | DeliveryState::Dead);
    let button = if may_run_again {
        format!(r#"<button data-id="{id}">Deliver again</button>"#)
    } else {
        String::new()
    };
    let key = delivery.key.as_ref().map_or("", |key| key.as_str());
    let state = delivery.state.as_str();
    format!(
        r#"<tr><td>{}<td>{}<td class="{state}">{state}<td>{} of {}<td>{}<td>{button}</tr>"#,
        escaped(&delivery.trigger),
        escaped(key),
        delivery.attempts,
        delivery.attempts_allowed,
        escaped(delivery.last_error.as_deref().unwrap_or_default()),
    )
}

fn day(day: &DayStatistics) -> String {
    let counts = [
        day.received,
        day.keyless,
        day.succeeded,
        day.waiting,
        day.dead,
        day.retried,
        day.replayed,
    ];
    let cells: String = counts.map(|count| format!("<td>{count}")).concat();
    format!("<tr><td>{}{cells}</tr>", escaped(&day.day))
}

/// What senders choose must not become markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

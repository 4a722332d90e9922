//! A webhook inbox on `tower-idempotency`.
//!
//! Senders of webhooks deliver at least once: again when an answer was slow or got lost, sometimes
//! twice at the same time. They take any refusal for a reason to come again, and give up one day.
//! The inbox keeps each delivery before its handler runs, runs it until it has succeeded once,
//! acknowledges duplicates, and shows operators what failed for good.
//!
//! # Example
//!
//! ```
//! use axum::{Router, body::Body, http::{Request, StatusCode}, routing::post};
//! use sqlx::sqlite::SqlitePoolOptions;
//! use tower_idempotency_inbox::{Deliveries, DeliveryPage, Inbox, Provider, Trigger};
//! use tower_idempotency_memory::MemoryStore;
//! # use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A real service uses a file or Postgres, and a store in the same database.
//! let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
//! let deliveries = Deliveries::sqlite(pool);
//! deliveries.migrate().await?;
//! let inbox = Inbox::builder(deliveries, MemoryStore::new()).build()?;
//!
//! let github = Trigger::new("github").provider(Provider::GitHub);
//! let hooks: Router = Router::new()
//!     .route("/hooks/github", post(|| async { StatusCode::NO_CONTENT }))
//!     .layer(inbox.layer(github)?);
//! // Delivers again what is due: through the handlers, but past what checks signatures.
//! let worker = inbox.start::<_, Body, Body>(hooks.clone());
//! let app = hooks; // .layer(check_signature)
//!
//! let delivery = || {
//!     Request::post("/hooks/github")
//!         .header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
//!         .body(Body::from("{}"))
//! };
//! let first = app.clone().oneshot(delivery()?).await?;
//! assert_eq!(first.headers()["x-webhook-inbox"], "executed");
//! let again = app.oneshot(delivery()?).await?;
//! assert_eq!(again.status(), StatusCode::OK);
//! assert_eq!(again.headers()["x-webhook-inbox"], "duplicate");
//!
//! assert_eq!(inbox.list(&DeliveryPage::default()).await?.len(), 1);
//! worker.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When each outcome happens
//!
//! `X-Webhook-Inbox` says which it was:
//!
//! 1. Another method than POST, PUT or PATCH, or a path that no route matches: the request passes
//!    through untouched.
//! 2. The body is larger than the cap: 413. The delivery cannot be kept: 503, and nothing ran.
//! 3. `duplicate`: the trigger has seen its key. 200, and the handler does not run, whatever became
//!    of the first one: a refusal would make the sender come again. The key alone decides.
//! 4. Everything else is kept, also what has no key, and its first attempt runs at once, in a task
//!    that outlives the connection:
//!    - `executed`: the handler succeeded, and the sender gets its answer;
//!    - `refused`: it failed permanently, or for the last time, and is a dead letter; the sender
//!      gets the refusal;
//!    - `accepted`: it failed transiently, or it is not known how it ended. 202: the inbox has it
//!      and tries again.
//!
//! [`Verdict::of_status`] tells transient from permanent failures, unless
//! [`classify`](InboxBuilder::classify) is given another rule; [`RetrySchedule`] says when
//! transient ones are tried again.
//!
//! # Guarantees
//!
//! - A delivery that was answered with 2xx is kept: it runs until it has succeeded, has failed
//!   permanently, or has had all its attempts; in the last two cases it is a dead letter.
//! - Of one trigger's deliveries with one key, at most one is kept, for as long as the
//!   [`retention`](InboxBuilder::retention) lasts. Only the unique index on both makes a duplicate;
//!   any other violation of a constraint is an error.
//! - At most one attempt of a delivery holds a live lease, whoever began it: a sender, a worker of
//!   any process, an operator. Once its success is recorded, no further one runs.
//! - An attempt whose process dies is taken over after its lease, and counts as an attempt.
//! - Only the databases' clocks judge.
//!
//! The last three are those of the layer inside: the table of deliveries is a list of what is due
//! and a history, and may be wrong about what runs. Each attempt is a request to a
//! [`tower_idempotency::IdempotencyLayer`] whose key is the delivery's id; successes are what it
//! stores. So handlers have all it offers: `Idempotency`, durable steps (kept over transient
//! failures that are answered 5xx), fenced commits, transactions.
//!
//! # What this does not do
//!
//! A process that dies between a handler's effect and the record of it makes the effect happen
//! again, unless the two are one commit: use a transactional store, `Idempotency::complete_in`, or
//! steps. [`DeliveryId`] is in the extensions of every attempt and names all attempts of one
//! delivery.
//!
//! Order is not kept: what failed runs later than what came behind it.
//! Duplicates are logged, not counted.
//!
//! # Deployment caveats
//!
//! - **Signature checks outside**, and not in what [`start`](Inbox::start) is given: a delivery
//!   that is made again has neither its signature nor a time that is still valid. What the inbox
//!   keeps was let in.
//! - **What is kept**: method, path and query, headers, body, up to
//!   [`max_request_bytes`](InboxBuilder::max_request_bytes). Not kept, and so not there in later
//!   attempts: `Authorization`, `Cookie`, headers whose names speak of signatures, tokens or
//!   secrets, what belongs to the connection, and what
//!   [`forget_header`](InboxBuilder::forget_header) names. A secret in the query or the body is
//!   kept.
//! - **The worker's router** has to be the one that `layer` was called on: with nested routers that
//!   is the inner one, whose paths the inbox has seen. Extensions of outer layers (the client's
//!   address, say) are there in the first attempt only.
//! - **Senders' patience**: the first attempt runs while the sender waits. Where a handler takes
//!   longer than senders do (10 s at GitHub, 3 s at Slack) the sender comes again, which is
//!   harmless.
//! - **Operators' routes** need your authentication around them.
//! - **Poolers in transaction mode** cannot carry the pool of [`Deliveries::postgres`].
//! - **Retention** must be longer than any sender goes on retrying, Stripe's three days included.

#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    expect(
        unused,
        reason = "without a database nothing can be kept, but everything compiles"
    )
)]

mod answer;
mod arrival;
mod attempt;
mod builder;
mod deliveries;
mod delivery;
mod error;
mod inbox;
mod kept_request;
mod layer;
#[cfg(feature = "axum")]
mod operator;
mod provider;
mod retry_schedule;
mod rows;
mod settings;
mod sql;
mod trigger;
mod verdict;
mod worker;

pub use crate::{
    builder::{InboxBuilder, ReplayLimit},
    deliveries::Deliveries,
    delivery::{DayStatistics, Delivery, DeliveryId, DeliveryPage, DeliveryState, Redelivery},
    error::{InboxError, InboxErrorKind},
    inbox::Inbox,
    layer::{InboxBody, InboxLayer, InboxService},
    provider::Provider,
    retry_schedule::RetrySchedule,
    trigger::Trigger,
    verdict::Verdict,
    worker::Worker,
};
#[doc(no_inline)]
pub use tower_idempotency_core::{ConfigError, Failure, FailureCategory};

/// Any error, as bodies report it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

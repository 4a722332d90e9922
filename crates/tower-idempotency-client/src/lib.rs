//! The client's side of `Idempotency-Key`: a middleware for [reqwest].
//!
//! An [`Operation`] has one key. The [`IdempotencyMiddleware`] sends its request with this key, and
//! again until there is an answer; a server with `tower-idempotency`, or any other that knows
//! idempotency keys, carries it out once.
//!
//! [reqwest]: https://docs.rs/reqwest
//!
//! # Example
//!
//! ```
//! use reqwest_middleware::ClientBuilder;
//! use tower_idempotency_client::{
//!     AnswerExt, IdempotencyMiddleware, Operation, Outcome, WithOperation,
//! };
//!
//! # use axum::{Router, http::StatusCode, routing::post};
//! # use tower_idempotency::{IdempotencyLayer, Principal};
//! # use tower_idempotency_memory::MemoryStore;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::header("x-user"))?;
//! # let app: Router = Router::new()
//! #     .route("/payments", post(|| async { StatusCode::CREATED }))
//! #     .route_layer(layer.required());
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let server = format!("http://{}", listener.local_addr()?);
//! # tokio::spawn(async move { axum::serve(listener, app).await });
//! let client = ClientBuilder::new(reqwest::Client::new())
//!     .with(IdempotencyMiddleware::new())
//!     .build();
//!
//! let payment = Operation::new();
//! // Store serde_json::to_string(&payment)? with the payment, to go on with it after a restart.
//! let pay = || {
//!     client
//!         .post(format!("{server}/payments"))
//!         .header("x-user", "alice")
//!         .body("12.50")
//!         .operation(&payment)
//! };
//!
//! let sent = pay().send().await;
//! match Outcome::of(&sent) {
//!     Outcome::Done => {} // the server has decided: paid, or refused
//!     Outcome::Unknown => {} // it may be paid: send the same operation again, now or later
//!     Outcome::NotSent => {} // nothing left this machine
//! }
//! assert!(!sent?.is_replay());
//!
//! // Somebody sends it again: it is not paid twice.
//! assert!(pay().send().await?.is_replay());
//! # Ok(())
//! # }
//! ```
//!
//! # When it tries again
//!
//! Always with the same key and the same bytes, within the bounds of the [`RetryPolicy`]:
//!
//! 1. No answer: no connection, a connection that broke, or a try that took too long.
//!    An answer whose body is lost half-way counts as lost, too, if it says that it is not longer
//!    than 1 MiB.
//! 2. 409 while the first request is in progress: `REQUEST_IN_PROGRESS`, or `Retry-After` and no
//!    code. Other conflicts are the application's answer.
//! 3. 408, 429 and 5xx.
//!
//! Never if the answer says that it is kept: every retry would get it again. Never after another
//! 4xx, such as the 422 of a key that belongs to another request.
//! `Retry-After` is obeyed, in seconds or as a date, and ends it if there is not that much time.
//!
//! 408 is repeated since the server did not get the whole request ([RFC 9110, section
//! 15.5.9][408]); 425 is not, since it is about early data of TLS, which reqwest does not send.
//!
//! [408]: https://www.rfc-editor.org/rfc/rfc9110#section-15.5.9
//!
//! # How it ends
//!
//! `send` returns the last answer, whatever its status, or a [`SendError`] if the last try had
//! none. [`Outcome`] tells for both whether the operation is done; [`AnswerExt`] has the details.
//!
//! # What to know
//!
//! - **The body has to be the same bytes** in every request of an operation, or the server answers
//!   422: no time of day, and no multipart form that is encoded anew.
//! - **A stream is sent once.** There is no retry, and a lost answer is a [`SendError`] of the kind
//!   [`BodyUsedUp`](SendErrorKind::BodyUsedUp).
//! - **"Not sent"** is said only if no try got a connection. To know it, bodies are watched, and
//!   look like streams to later middlewares; see [`IdempotencyMiddleware::unwatched`].
//! - **Redirects** are reqwest's: it repeats a 307 or 308 with the key at the other address.
//!   Since a watched body cannot be repeated, the first address is asked twice then.
//! - **TLS**, HTTP/2, proxies and the like are features of reqwest: depend on it, and switch them
//!   on there.

mod answer_ext;
mod doubt;
mod error;
mod middleware;
mod operation;
mod outcome;
mod read;
mod retry_after;
mod retry_policy;
mod send;
mod verdict;
mod watch;
mod with_operation;

pub use crate::{
    answer_ext::{AnswerExt, Replay},
    error::{SendError, SendErrorKind},
    middleware::IdempotencyMiddleware,
    operation::Operation,
    outcome::Outcome,
    retry_policy::RetryPolicy,
    with_operation::WithOperation,
};
#[doc(no_inline)]
pub use tower_idempotency_core::{IdempotencyKey, KeyError};

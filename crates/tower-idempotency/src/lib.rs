//! A Tower layer that makes retried HTTP requests safe.
//!
//! A client sends `Idempotency-Key`. The layer claims the key in a store, runs the handler once,
//! keeps its response, and answers later requests with the kept response, or with 409 while the
//! first one runs. It follows the expired Internet-Draft
//! [draft-ietf-httpapi-idempotency-key-header-07][draft] where that is sound,
//! and says where it differs.
//!
//! Put it around the routes whose effects must not happen twice: payments, invites, invoices.
//!
//! [draft]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/07/
//!
//! # Example
//!
//! ```
//! use axum::{Router, http::StatusCode, routing::post};
//! use tower_idempotency::{IdempotencyLayer, Principal};
//! use tower_idempotency_memory::MemoryStore;
//! # use tower::ServiceExt;
//! # use axum::{body::Body, http::Request};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::header("x-user"))?;
//! let app: Router = Router::new()
//!     .route("/payments", post(|| async { StatusCode::CREATED }))
//!     .route_layer(layer.required());
//!
//! let request = || {
//!     Request::post("/payments")
//!         .header("x-user", "alice")
//!         .header("idempotency-key", "8e03978e-40d5-43e8-bc93-6894a57f9324")
//!         .body(Body::empty())
//! };
//! let first = app.clone().oneshot(request()?).await?;
//! assert_eq!(first.headers()["x-idempotency-stored"], "true");
//!
//! let retry = app.clone().oneshot(request()?).await?;
//! assert_eq!(retry.status(), StatusCode::CREATED);
//! assert_eq!(retry.headers()["x-idempotency-replay"], "true");
//!
//! let keyless = Request::post("/payments").header("x-user", "alice").body(Body::empty())?;
//! assert_eq!(app.oneshot(keyless).await?.status(), StatusCode::BAD_REQUEST);
//! # Ok(())
//! # }
//! ```
//!
//! # When each outcome happens
//!
//! 1. Another method than POST or PATCH, a path that no route matches, a skip predicate, gRPC or
//!    an upgrade: the request passes through untouched, without an allocation or a store call.
//! 2. No key: it passes through, or gets 400 `IDEMPOTENCY_KEY_MISSING` on a
//!    [`required`](IdempotencyLayer::required) route. A malformed or repeated key: 400
//!    `IDEMPOTENCY_KEY_INVALID`, also where keys are optional, before any store call.
//! 3. Nobody to whom the key belongs: 403 `IDEMPOTENCY_SCOPE_MISSING`. A body over the cap: 413
//!    `REQUEST_TOO_LARGE`.
//! 4. A key used with another request: 422 `IDEMPOTENCY_KEY_REUSED`, also while the first is
//!    still running.
//! 5. The first request is running: 409 `REQUEST_IN_PROGRESS` with `Retry-After`, or a wait
//!    ([`WaitPolicy`]).
//! 6. A response is kept: it is replayed, marked `X-Idempotency-Replay: true`.
//!    With a transactional store, one that was rolled back is answered 503
//!    `TRANSACTION_ROLLED_BACK`: nothing was done.
//! 7. The store cannot be reached: 503 `IDEMPOTENCY_STORE_UNAVAILABLE` with `Retry-After`.
//! 8. The service issues the keys itself ([`IssuedKeys`]): 400 `IDEMPOTENCY_KEY_UNKNOWN`,
//!    410 `IDEMPOTENCY_KEY_EXPIRED` or 409 `IDEMPOTENCY_KEY_USED`, and a replay says in its body
//!    that it is one.
//! 9. Otherwise the handler runs, and its response is kept, marked `X-Idempotency-Stored: true`,
//!    or its key given up ([`Stored`]), so that a confirmation may follow ([`NotFinal`]).
//!
//! # Guarantees
//!
//! With a store that passes the conformance suite, and judged by that store's clock:
//!
//! - at most one execution of a key holds a live lease;
//! - a kept response does not change until it expires, and every replay has the same status,
//!   kept headers and body;
//! - an execution that lost its lease cannot store, renew or release anything;
//! - a client that goes away does not stop its execution, since handlers run in a task of their
//!   own;
//! - every claim ends: completed, released, or its lease runs out;
//! - no response leaves before its record is stored, unless it says that it was not
//!   (no `X-Idempotency-Stored`);
//! - after a handler ran to its end its key is not given free, unless the policy says so.
//!
//! # Effects of a handler that dies or stalls
//!
//! | where the effects are | use | what then holds |
//! |---|---|---|
//! | in the store's database | [`Idempotency::complete_and_commit`], or a transactional store | effect and response are committed together, or neither is |
//! | at another service | [`Idempotency::step`] with [`Idempotency::derive_key`] | a finished step is not repeated; one that was cut off is, with the same key |
//! | anywhere | [`CrashPolicy::Hold`] | nothing runs a second time before somebody has looked ([`Store::resolve`]) |
//!
//! # What this does not do
//!
//! Without any of these, a process that dies in the middle of a handler leaves effects behind that
//! the layer knows nothing of. After the lease the handler runs again, with
//! [`Attempt::takeover`](Attempt) set. A handler that stalls past its lease can run beside its
//! successor; its response is thrown away, its effects are not.
//!
//! Trailers, response extensions, interim responses and upgrades are not replayed.
//!
//! # Deployment caveats
//!
//! From the outside in, the order of layers should be: tracing and request ids, CORS, compression,
//! panic handling, decompression, rate limits, authentication, **this layer**, body limits and
//! time-outs of handlers, the handler.
//!
//! - **Authentication outside**, or refused callers could read replays, and the principal is
//!   unknown.
//! - **CORS outside**, and it must expose `X-Idempotency-Replay`, `X-Idempotency-Stored`,
//!   `Retry-After` and `Location`, and allow `Idempotency-Key`; or browsers hide them.
//! - **Compression outside**, or the encoding of the first caller is replayed to all.
//! - **Decompression outside**: two compressions of one body differ.
//! - **`Router::layer` or `route_layer`**: both work; a path that no route matches is not claimed.
//!   Fallback handlers and what is mounted with `nest_service` match no route of the outer router:
//!   put the layer around the inner service itself.
//! - **Multipart bodies** that a client encodes anew have another boundary, and are another request
//!   ([`FingerprintPolicy`] can look at something else).
//! - **Proxies** that retry by themselves are safe, since they repeat the key.
//!   One that joins repeated headers, or drops unknown ones, is not.
//! - **Shutdown**: executions outlive their connections; wait for
//!   [`drain`](IdempotencyLayer::drain).
//! - **Retention** must be longer than any client goes on retrying.
//! - **Handlers that block their thread** for a third of the lease keep it from being renewed;
//!   use `tokio::task::spawn_blocking`.
//! - Task-locals of outer layers are not seen by the handler; the tracing span and request
//!   extensions are.
//!
//! # Without axum
//!
//! Switch the default feature `axum` off, and put the server's body into [`RequestBody`].
//! The route of a key is then its method and path; use
//! [`scope_from_fn`](IdempotencyLayerBuilder::scope_from_fn) where paths carry identifiers that
//! should not be part of it.

mod admission;
#[cfg(feature = "axum")]
mod axum_layer;
mod body;
mod builder;
mod cache;
mod conflict_policy;
mod digest;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod handle;
mod issued;
mod keep;
mod key_source;
mod layer;
mod log;
mod not_final;
mod outcome;
mod principal;
mod problem;
mod replayed_headers;
mod response_headers;
mod route;
mod run;
mod runtime;
mod scope_rule;
mod service;
mod settings;
mod shared;
mod stored;
mod sweep_policy;
mod wait_policy;
mod wake;
mod watch;

#[cfg(feature = "axum")]
pub use crate::{
    axum_layer::{AxumLayer, AxumResponseFuture, AxumService},
    extract::MissingIdempotency,
};
pub use crate::{
    body::{RequestBody, ResponseBody},
    builder::IdempotencyLayerBuilder,
    conflict_policy::ConflictPolicy,
    future::ResponseFuture,
    handle::{CompleteInError, Idempotency, StepError, StepErrorKind},
    issued::{IssuedKey, IssuedKeys, KeyIssuer, KeyStanding, SignedKeys},
    key_source::KeySource,
    layer::IdempotencyLayer,
    not_final::NotFinal,
    outcome::{Outcome, Settlement},
    principal::Principal,
    problem::{Problem, ProblemCode, ProblemRenderer},
    replayed_headers::ReplayedHeaders,
    response_headers::ResponseHeaders,
    service::IdempotencyService,
    stored::Stored,
    sweep_policy::SweepPolicy,
    wait_policy::WaitPolicy,
};
#[doc(no_inline)]
pub use tower_idempotency_core::{
    Attempt, BoxStore, Clock, ConfigError, CrashPolicy, FencedCommit, FencedTransaction,
    FingerprintPolicy, IdempotencyKey, KeyError, KeyFormat, KeySyntax, Resolution, Resolved,
    Retention, Scope, Store, StoreError, StoreErrorKind,
};

/// Any error, as bodies report it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

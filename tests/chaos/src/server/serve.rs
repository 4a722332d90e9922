//! Listening.

use std::{io::Read, sync::Arc, thread, time::Duration};

use anyhow::Result;
use axum::{
    Router,
    routing::{MethodRouter, post},
};
use chaos::Mode;
use tokio::net::TcpListener;
use tower_idempotency::{IdempotencyLayer, Principal};
use tower_idempotency_core::Store;
use tower_idempotency_postgres::ClaimDurability;

use crate::{
    arguments::Arguments,
    handlers::{self, Shared},
    notes::Notes,
    recording::Recording,
    store, transactional,
};

/// Longer than a handler works between two statements, and not much longer:
/// nobody can have the key of a server that stands still meanwhile.
const STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until nobody holds the other end of standard input any more.
pub(crate) async fn serve(arguments: &Arguments, notes: Arc<Notes>) -> Result<()> {
    let shared = |effects| Shared::new(arguments, effects, Arc::clone(&notes));
    let is_transactional = arguments.mode == Mode::Transactional;
    if let Some(path) = arguments.store.strip_prefix("sqlite:") {
        let (store, effects) = store::sqlite(arguments, path).await?;
        let shared = shared(effects);
        return if is_transactional {
            let handler = post(transactional::in_sqlite);
            listen(router(arguments, store.transactional(), shared, handler)?).await
        } else {
            let handler = without_the_layers_transaction(arguments);
            listen(router(arguments, store, shared, handler)?).await
        };
    }
    let (store, effects) = store::postgres(arguments)?;
    let shared = shared(effects);
    if is_transactional {
        let store = store.transactional_builder();
        let store = store.stall_timeout(STALL_TIMEOUT).build()?;
        let handler = post(transactional::in_postgres);
        listen(router(arguments, store, shared, handler)?).await
    } else if arguments.mode == Mode::Fenced {
        let claims = if arguments.relaxed_claims {
            ClaimDurability::WithTheCommit
        } else {
            ClaimDurability::BeforeTheHandler
        };
        let store = store.fenced_builder().claim_durability(claims).build();
        let handler = post(handlers::fenced);
        listen(router(arguments, store, shared, handler)?).await
    } else {
        let handler = post(handlers::leased);
        listen(router(arguments, store, shared, handler)?).await
    }
}

fn without_the_layers_transaction(arguments: &Arguments) -> MethodRouter<Arc<Shared>> {
    if arguments.mode == Mode::Fenced {
        post(handlers::fenced)
    } else {
        post(handlers::leased)
    }
}

fn router<St: Store>(
    arguments: &Arguments,
    store: St,
    shared: Shared,
    handler: MethodRouter<Arc<Shared>>,
) -> Result<Router> {
    let store = Recording::new(store, shared.notes());
    let layer = IdempotencyLayer::builder(store, Principal::public())
        .lease(arguments.lease_ms)
        .build()?;
    let keyed = Router::new()
        .route("/effect", handler)
        .route_layer(layer.required());
    let unkeyed = Router::new()
        .route("/unkeyed", post(handlers::unkeyed))
        .route_layer(layer.optional());
    Ok(keyed.merge(unkeyed).with_state(Arc::new(shared)))
}

#[expect(
    clippy::print_stdout,
    reason = "whoever started the server reads its address there"
)]
async fn listen(router: Router) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening on {}", listener.local_addr()?);
    thread::spawn(exit_with_stdin);
    Ok(axum::serve(listener, router).await?)
}

/// Ends the process at once with its owner.
#[expect(clippy::exit, reason = "there is nothing to clean up")]
fn exit_with_stdin() {
    let mut byte = [0];
    while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
    std::process::exit(0);
}

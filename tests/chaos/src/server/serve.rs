//! Listening.

use std::{io::Read, sync::Arc, thread};

use anyhow::{Result, bail};
use axum::{Router, routing::post};
use chaos::Mode;
use tokio::net::TcpListener;
use tower_idempotency::{IdempotencyLayer, Principal};
use tower_idempotency_core::Store;

use crate::{
    arguments::Arguments,
    handlers::{self, Shared},
    notes::Notes,
    recording::Recording,
    store,
};

/// Serves until nobody holds the other end of standard input any more.
pub(crate) async fn serve(arguments: &Arguments, notes: Arc<Notes>) -> Result<()> {
    if arguments.mode != Mode::Leased {
        bail!("the mode {} is not there yet", arguments.mode);
    }
    if let Some(path) = arguments.store.strip_prefix("sqlite:") {
        let (store, effects) = store::sqlite(arguments, path).await?;
        let store = Recording::new(store, Arc::clone(&notes));
        listen(router(
            arguments,
            store,
            Shared::new(arguments, effects, notes),
        )?)
        .await
    } else {
        let (store, effects) = store::postgres(arguments)?;
        let store = Recording::new(store, Arc::clone(&notes));
        listen(router(
            arguments,
            store,
            Shared::new(arguments, effects, notes),
        )?)
        .await
    }
}

fn router<St: Store>(arguments: &Arguments, store: St, shared: Shared) -> Result<Router> {
    let layer = IdempotencyLayer::builder(store, Principal::public())
        .lease(arguments.lease_ms)
        .build()?;
    let keyed = Router::new()
        .route("/effect", post(handlers::effect))
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

//! This project's layer on each of its stores.

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use bytes::Bytes;
use side_by_side::Contender;
use tower_idempotency::{IdempotencyLayer, Principal, ResponseHeaders, Store, SweepPolicy};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_postgres::{ClaimDurability, PostgresStore};
use tower_idempotency_sqlite::SqliteStore;

use crate::{Arguments, handler, pool};

pub(crate) async fn router(
    contender: Contender,
    body: Bytes,
    arguments: &Arguments,
) -> Result<Router> {
    let url = &arguments.database_url;
    let plain = handler::plain(body.clone());
    match contender.name {
        "memory" => {
            let store = MemoryStore::builder().max_records(100_000_000);
            guard(plain, store.max_bytes(1 << 40).build()?, arguments)
        }
        "sqlite" => guard(plain, SqliteStore::open(&arguments.file).await?, arguments),
        "fenced" => {
            let store = migrated(PostgresStore::connect(url).await?).await?;
            let pool = pool::open(arguments).await?;
            guard(handler::fenced(body, pool), store.fenced(), arguments)
        }
        "fenced-relaxed" => {
            let store = migrated(PostgresStore::connect(url).await?).await?;
            let relaxed = ClaimDurability::WithTheCommit;
            let store = store.fenced_builder().claim_durability(relaxed).build();
            let pool = pool::open(arguments).await?;
            guard(handler::fenced(body, pool), store, arguments)
        }
        "fenced-effect" => {
            let store = PostgresStore::builder(pool::open(arguments).await?);
            let store = migrated(store.pass_connections_on(true).build()?).await?;
            guard(handler::in_one_statement(body), store.fenced(), arguments)
        }
        "transactional" => {
            let pool = pool::open(arguments).await?;
            let store = migrated(
                PostgresStore::builder(pool)
                    .pass_connections_on(true)
                    .build()?,
            )
            .await?
            .transactional();
            guard(handler::transactional(body), store, arguments)
        }
        _ => {
            let store = migrated(PostgresStore::connect(url).await?).await?;
            guard(plain, store, arguments)
        }
    }
}

async fn migrated(store: PostgresStore) -> Result<PostgresStore> {
    store.migrate().await?;
    Ok(store)
}

/// Puts the layer around the router.
fn guard<S: Store>(router: Router, store: S, arguments: &Arguments) -> Result<Router> {
    let principal = Principal::header("authorization");
    let mut builder = IdempotencyLayer::builder(store, principal)
        .response_headers(ResponseHeaders::named(side_by_side::REPLAY_HEADER));
    if let Some(pace) = arguments.sweep_ms {
        builder = builder.sweep(SweepPolicy::every(Duration::from_millis(pace)));
    }
    if arguments.name == "leased-uncached" {
        builder = builder.no_cache();
    }
    // Optional, so that requests without a key can be measured as well.
    Ok(router.layer(builder.build()?.optional().for_axum()))
}

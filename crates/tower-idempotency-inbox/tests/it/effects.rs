//! Effects in the store's own database.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Extension, Router,
    body::Body,
    http::{Request, StatusCode},
    routing::post,
};
use sqlx::Executor;
use tower_idempotency::BoxStore;
use tower_idempotency_inbox::{DeliveryId, DeliveryState, Inbox, RetrySchedule, Trigger};
use tower_idempotency_postgres::{PostgresStore, Tx as PostgresTx};
use tower_idempotency_sqlite::Tx as SqliteTx;
use tower_idempotency_testkit::run;

use crate::support::{Database, Pool, deliver, postgres, sqlite, start, until_ended};

/// Fails behind its effect twice, then succeeds.
fn third_time(calls: &AtomicU32) -> StatusCode {
    match calls.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    }
}

async fn what_failed_attempts_wrote_is_undone(
    database: &Database,
    store: BoxStore,
    handlers: Router,
) {
    let effects = "CREATE TABLE effects (delivery text NOT NULL)";
    database.execute(effects).await.unwrap();
    let ms = std::time::Duration::from_millis;
    let inbox = Inbox::builder(database.deliveries.clone(), store)
        .retry(RetrySchedule::new(ms(5), ms(20), 5))
        .poll(ms(20))
        .build()
        .unwrap();
    let router = handlers.layer(inbox.layer(Trigger::new("t")).unwrap());
    let worker = start(&inbox, &router);
    let body = r#"{"messageId":"m"}"#;
    assert_eq!(deliver(&router, None, body).await.status, 202);
    let kept = until_ended(&inbox).await;
    assert_eq!(
        (kept[0].state, kept[0].attempts),
        (DeliveryState::Succeeded, 3)
    );
    assert_eq!(deliver(&router, None, body).await.status, 200);
    let found = format!(
        "SELECT count(*) FROM effects WHERE delivery = '{}'",
        kept[0].id
    );
    assert_eq!(database.count(&found).await, 1);
    assert_eq!(database.count("SELECT count(*) FROM effects").await, 1);
    worker.stop().await;
}

#[test]
fn what_failed_attempts_wrote_is_undone_on_postgres() {
    run(async {
        let database = postgres().await;
        let Pool::Postgres { pool, .. } = &database.pool else {
            panic!("not Postgres");
        };
        let store = PostgresStore::new(pool.clone()).transactional();
        let calls = Arc::new(AtomicU32::new(0));
        let handler = async move |Extension(id): Extension<DeliveryId>, mut tx: PostgresTx| {
            let effect = sqlx::query("INSERT INTO effects VALUES ($1)").bind(id.to_string());
            tx.execute(effect).await.unwrap();
            third_time(&calls)
        };
        let handlers = Router::new().route("/hooks/{name}", post(handler));
        what_failed_attempts_wrote_is_undone(&database, BoxStore::new(store), handlers).await;
    });
}

#[test]
fn what_failed_attempts_wrote_is_undone_on_sqlite() {
    run(async {
        let database = sqlite().await;
        let Pool::Sqlite { store, .. } = &database.pool else {
            panic!("not SQLite");
        };
        let store = store.clone().transactional();
        let calls = Arc::new(AtomicU32::new(0));
        let handler = async move |Extension(id): Extension<DeliveryId>, mut tx: SqliteTx| {
            let effect = sqlx::query("INSERT INTO effects VALUES ($1)").bind(id.to_string());
            tx.execute(effect).await.unwrap();
            third_time(&calls)
        };
        let handlers = Router::new().route("/hooks/{name}", post(handler));
        what_failed_attempts_wrote_is_undone(&database, BoxStore::new(store), handlers).await;
    });
}

/// The inbox sees the paths of the router that it is in, so that router can serve them again.
#[test]
fn a_nested_router_serves_its_own_deliveries_again() {
    crate::support::on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let calls = Arc::new(AtomicU32::new(0));
        let handler = post(async move || third_time(&calls));
        let inner = Router::new()
            .route("/deliveries/{name}", handler)
            .layer(inbox.layer(Trigger::new("t")).unwrap());
        let worker = start(&inbox, &inner);
        let outer = Router::new().nest("/hooks", inner);
        let request = Request::post("/hooks/deliveries/a?b=c");
        let request = request.body(Body::empty()).unwrap();
        assert_eq!(crate::support::send(&outer, request).await.status, 202);
        let kept = until_ended(&inbox).await;
        assert_eq!(
            (kept[0].state, kept[0].attempts),
            (DeliveryState::Succeeded, 3)
        );
        worker.stop().await;
    });
}

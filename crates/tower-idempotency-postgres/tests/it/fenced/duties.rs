//! What the store keeps by itself, and what it does not.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
    routing::post,
};
use tower::ServiceExt;
use tower_idempotency::{IdempotencyLayer, Principal};
use tower_idempotency_core::{
    Claim, Completed, Execution, ListPage, RecordState, Retention, Settled, Standing, Store,
    StoreErrorKind, StoredResponse,
};
use tower_idempotency_testkit::run;

use crate::support::{completed, postgres, request};

#[test]
fn a_success_is_not_kept_without_the_fence() {
    run(async {
        let postgres = postgres().await;
        let store = postgres.store.clone().fenced();
        let Ok(Claim::Acquired(mut execution)) = store.claim(&request("k")).await else {
            panic!("expected to acquire the key");
        };
        let refused = execution.complete(&completed(7)).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unfenced);
        let standing = execution.standing().await.unwrap();
        assert_eq!(standing, Standing::InProgress);
    });
}

#[test]
fn a_refusal_is_kept_without_the_fence() {
    run(async {
        let postgres = postgres().await;
        let store = postgres.store.clone().fenced();
        let Ok(Claim::Acquired(mut execution)) = store.claim(&request("k")).await else {
            panic!("expected to acquire the key");
        };
        let refusal = StoredResponse::new(StatusCode::CONFLICT, &HeaderMap::new(), "no");
        let completed = Completed::new(refusal, Retention::COMPLETED);
        let settled = execution.complete(&completed).await.unwrap();
        assert_eq!(settled, Settled::Applied);
    });
}

/// A handler that forgets the fence is told so, and not run again.
#[test]
fn a_handler_that_says_success_without_the_fence_is_found_out() {
    run(async {
        let postgres = postgres().await;
        postgres.execute("CREATE TABLE effects (n int)").await;
        let layer =
            IdempotencyLayer::new(postgres.store.clone().fenced(), Principal::public()).unwrap();
        let pool = postgres.pool.clone();
        let forgets = move || async move {
            let written = sqlx::query("INSERT INTO effects VALUES (1)").execute(&pool);
            written.await.unwrap();
            StatusCode::CREATED
        };
        let app = Router::new().route("/", post(forgets)).route_layer(layer);
        for replay in [false, true] {
            let request = Request::post("/").header("Idempotency-Key", "k");
            let request = request.body(Body::empty()).unwrap();
            let answer = app.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let is_replay = answer.headers().contains_key("x-idempotency-replay");
            assert_eq!(is_replay, replay);
            let body = axum::body::to_bytes(answer.into_body(), 10_000).await;
            let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
            assert!(body.contains("NOT_COMPLETED_IN_TRANSACTION"), "{body}");
        }
        let effects = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM effects");
        assert_eq!(effects.fetch_one(&postgres.pool).await.unwrap(), 1);
        let page = ListPage::default();
        let kept = postgres.store.list(&page).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].state, RecordState::Completed);
    });
}

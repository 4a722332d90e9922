//! On axum's own routers: templates, nesting, extractors, and the sources that need them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, request},
    routing::post,
};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_idempotency::{Idempotency, IdempotencyLayer, KeySource, Principal, Scope};
use tower_idempotency_core::{ListPage, Store};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::run;

/// A handler that answers with the number of its run.
fn counting() -> axum::routing::MethodRouter {
    let runs = Arc::new(AtomicU64::new(0));
    post(move || async move {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        (StatusCode::CREATED, run.to_string())
    })
}

fn post_to(path: &str) -> request::Builder {
    Request::post(path)
}

async fn send(app: &Router, request: Request<Body>) -> (u16, String, bool) {
    let response: Response<Body> = app.clone().oneshot(request).await.unwrap();
    let is_replay = response.headers().contains_key("x-idempotency-replay");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap(), is_replay)
}

#[test]
fn a_path_parameter_can_be_the_key() {
    run(async {
        let layer = IdempotencyLayer::builder(MemoryStore::new(), Principal::public())
            .key_sources([KeySource::path_parameter("token")])
            .build()
            .unwrap();
        let inner = Router::new()
            .route("/invites/{token}/use", counting())
            .layer(layer);
        let app = Router::new().nest("/v1", inner);
        let go = |path: &str| post_to(path).body(Body::empty()).unwrap();
        assert_eq!(
            send(&app, go("/v1/invites/a%20b/use")).await,
            (201, "1".into(), false)
        );
        assert_eq!(
            send(&app, go("/v1/invites/a%20b/use")).await,
            (201, "1".into(), true)
        );
        assert_eq!(
            send(&app, go("/v1/invites/other/use")).await,
            (201, "2".into(), false)
        );
    });
}

#[test]
fn a_form_field_can_be_the_key() {
    run(async {
        let layer = IdempotencyLayer::builder(MemoryStore::new(), Principal::public())
            .key_sources([KeySource::form_field("token")])
            .build()
            .unwrap();
        let app = Router::new().route("/forms", counting()).layer(layer);
        let go = |body: &'static str| {
            let form = "application/x-www-form-urlencoded";
            let request = post_to("/forms").header("content-type", form);
            request.body(Body::from(body)).unwrap()
        };
        assert_eq!(
            send(&app, go("name=x&token=t1")).await,
            (201, "1".into(), false)
        );
        assert_eq!(
            send(&app, go("name=x&token=t1")).await,
            (201, "1".into(), true)
        );
        // An old form without a token goes on working.
        for run in ["2", "3"] {
            assert_eq!(send(&app, go("name=x")).await, (201, run.into(), false));
        }
    });
}

/// `Router::layer` runs for paths that no route matches; a 404 must not use up a key.
#[test]
fn an_unmatched_path_claims_nothing() {
    run(async {
        let store = Arc::new(MemoryStore::new());
        let layer = IdempotencyLayer::new(Arc::clone(&store), Principal::public()).unwrap();
        let app = Router::new()
            .route("/here", counting())
            .layer(layer.required());
        let request = post_to("/there").header("idempotency-key", "k");
        let reply = send(&app, request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.0, 404);
        assert!(store.list(&ListPage::default()).await.unwrap().is_empty());
    });
}

#[test]
fn a_handler_that_needs_a_key_refuses_a_request_without_one() {
    run(async {
        let handler =
            |idempotency: Idempotency| async move { idempotency.key().as_str().to_owned() };
        let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::public()).unwrap();
        let app = Router::new().route("/", post(handler)).layer(layer);
        let keyed = post_to("/").header("idempotency-key", "k");
        assert_eq!(
            send(&app, keyed.body(Body::empty()).unwrap()).await,
            (200, "k".into(), false)
        );
        let (status, body, _) = send(&app, post_to("/").body(Body::empty()).unwrap()).await;
        assert_eq!(status, 400);
        assert!(body.contains("IDEMPOTENCY_KEY_MISSING"), "{body}");
    });
}

#[test]
fn routes_can_have_settings_of_their_own() {
    run(async {
        let layer = IdempotencyLayer::new(MemoryStore::new(), Principal::public()).unwrap();
        let small = layer.customize().max_request_bytes(3).build().unwrap();
        let app = Router::new()
            .route("/large", counting().layer(layer.required()))
            .route("/small", counting().layer(small));
        let go = |path: &str| {
            let request = post_to(path).header("idempotency-key", "k");
            request.body(Body::from("four")).unwrap()
        };
        assert_eq!(send(&app, go("/large")).await.0, 201);
        assert_eq!(send(&app, go("/small")).await.0, 413);
        let unkeyed = |path: &str| post_to(path).body(Body::empty()).unwrap();
        assert_eq!(send(&app, unkeyed("/large")).await.0, 400);
        assert_eq!(send(&app, unkeyed("/small")).await.0, 201);
    });
}

#[test]
fn a_scope_can_be_computed_or_refused() {
    run(async {
        let layer = IdempotencyLayer::builder(MemoryStore::new(), Principal::public())
            .scope_from_fn(|_, parts| {
                let trigger = parts.headers.get("x-trigger")?.to_str().ok()?;
                Some(Scope::new("", trigger))
            })
            .build()
            .unwrap();
        let app = Router::new().route("/hook", counting()).layer(layer);
        let go = |trigger: Option<&str>| {
            let mut request = post_to("/hook").header("idempotency-key", "k");
            if let Some(trigger) = trigger {
                request = request.header("x-trigger", trigger);
            }
            request.body(Body::empty()).unwrap()
        };
        assert_eq!(send(&app, go(Some("a"))).await, (201, "1".into(), false));
        assert_eq!(send(&app, go(Some("a"))).await, (201, "1".into(), true));
        assert_eq!(send(&app, go(Some("b"))).await, (201, "2".into(), false));
        assert_eq!(send(&app, go(None)).await.0, 403);
    });
}

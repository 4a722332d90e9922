//! The operator's JSON.

use std::time::Duration;

use axum::{Router, body::Body, http::Request};
use serde_json::Value;
use tower::ServiceExt;
use tower_idempotency_inbox::ReplayLimit;

use crate::support::{Handler, deliver, on_each, router};

struct Reply {
    status: u16,
    retry_after: Option<u64>,
    json: Value,
}

async fn ask(routes: &Router, request: Request<Body>) -> Reply {
    let response = routes.clone().oneshot(request).await.unwrap();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().parse().unwrap());
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    Reply {
        status,
        retry_after,
        json: serde_json::from_slice(&body.unwrap()).unwrap(),
    }
}

async fn get(routes: &Router, path: &str) -> Reply {
    ask(routes, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn post(routes: &Router, path: &str) -> Reply {
    ask(routes, Request::post(path).body(Body::empty()).unwrap()).await
}

#[test]
fn too_many_wishes_are_answered_429_with_a_code() {
    on_each(async |database| {
        let limit = ReplayLimit::new(Duration::from_secs(10), 5);
        let inbox = database.inbox().replay_limit(limit).build().unwrap();
        let handler = Handler::default().answering("dead", &[422]);
        let router = router(&inbox, &handler);
        deliver(&router, Some("a"), "dead").await;
        let routes = inbox.operator_routes();
        let letters = get(&routes, "/dead-letters").await;
        let id = letters.json["deliveries"][0]["id"].as_str().unwrap();
        let redeliver = format!("/deliveries/{id}/redeliver");
        assert_eq!(post(&routes, &redeliver).await.status, 202);
        let limited = post(&routes, &redeliver).await;
        assert_eq!(limited.status, 429);
        assert_eq!(limited.json["code"], "REDELIVERY_RATE_LIMITED");
        assert!((1..=11).contains(&limited.retry_after.unwrap()));
        let shown = get(&routes, &format!("/deliveries/{id}")).await;
        assert_eq!(shown.json["state"], "failed");
        assert!(
            shown.json["last_replay_at"]
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
    });
}

#[test]
fn what_succeeded_is_not_redelivered_and_other_sites_ask_in_vain() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let router = router(&inbox, &Handler::default());
        deliver(&router, Some("a"), "one").await;
        let routes = inbox.operator_routes();
        let all = get(&routes, "/deliveries?state=succeeded&limit=1").await;
        let id = all.json["deliveries"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(all.json["next"].as_str(), Some(&*id));
        let path = format!("/deliveries/{id}/redeliver");
        let refused = post(&routes, &path).await;
        assert_eq!(
            (refused.status, &refused.json["code"]),
            (409, &"DELIVERY_NOT_FAILED".into())
        );
        let foreign = Request::post(&path).header("sec-fetch-site", "cross-site");
        let foreign = ask(&routes, foreign.body(Body::empty()).unwrap()).await;
        assert_eq!(foreign.json["code"], "CROSS_SITE_REQUEST");
    });
}

#[test]
fn bad_parameters_are_refused_by_code() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let routes = inbox.operator_routes();
        for path in [
            "/deliveries?state=gone",
            "/deliveries?limit=0",
            "/deliveries?limit=many",
            "/statistics?days=0",
            "/statistics?days=367",
        ] {
            let refused = get(&routes, path).await;
            assert_eq!(refused.status, 400, "{path}");
            assert_eq!(refused.json["code"], "REQUEST_MALFORMED", "{path}");
        }
        // Nothing of it gets near the SQL.
        let strange = get(&routes, "/deliveries/'%20OR%20true--").await;
        assert_eq!(strange.json["code"], "DELIVERY_NOT_FOUND");
        let empty = get(&routes, "/statistics?days=30").await;
        assert_eq!(empty.json["days"], Value::Array(Vec::new()));
    });
}

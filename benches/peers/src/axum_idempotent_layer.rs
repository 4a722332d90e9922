//! axum-idempotent keeps its records in cookie sessions, and covers no request without one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{Next, from_fn},
    routing::post,
};
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use ruts::{
    CookieOptions, Session, SessionLayer,
    store::{Ttl, moka::MokaStore},
};
use tower::ServiceExt;
use tower_cookies::CookieManagerLayer;

/// So many users take turns, as one session holds all records of its user.
const SESSIONS: usize = 10_000;
const BEGIN: &str = "/begin";

pub(crate) async fn router(plain: Router) -> Result<Router> {
    let store = Arc::new(MokaStore::builder().build());
    let options = IdempotentOptions::default()
        .use_idempotency_key_header(Some("Idempotency-Key"), true)
        .expire_after(3600);
    let cookie = CookieOptions::build()
        .name("session")
        .max_age(3600)
        .path("/");
    let app = plain
        .layer(IdempotentLayer::<MokaStore>::new(options))
        .route(BEGIN, post(begin))
        .layer(SessionLayer::new(store).with_cookie_options(cookie))
        .layer(CookieManagerLayer::new());
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        sessions.push(begun(&app).await?);
    }
    let sessions: Arc<[HeaderValue]> = sessions.into();
    let next_session = Arc::new(AtomicUsize::new(0));
    let with_session = move |mut request: Request, next: Next| {
        let number = next_session.fetch_add(1, Ordering::Relaxed) % sessions.len();
        let cookie = sessions[number].clone();
        request.headers_mut().insert(header::COOKIE, cookie);
        next.run(request)
    };
    Ok(app.layer(from_fn(with_session)))
}

async fn begin(session: Session<MokaStore>) -> String {
    let ttl = Ttl::new(3600).expect("an hour is a time");
    match session.set("user", &String::from("alice"), ttl, None).await {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

async fn begun(app: &Router) -> Result<HeaderValue> {
    let request = Request::post(BEGIN).body(Body::empty())?;
    let response = app.clone().oneshot(request).await?;
    let cookie = response.headers().get(header::SET_COOKIE);
    let cookie = cookie.context("a session begins with a cookie")?.to_str()?;
    let pair = cookie.split(';').next().unwrap_or_default();
    Ok(HeaderValue::from_str(pair)?)
}

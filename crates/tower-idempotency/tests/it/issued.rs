//! Keys that the service has issued: what each state of them is answered with.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::{
    sync::{Barrier, Semaphore},
    task::JoinSet,
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_idempotency::{
    CrashPolicy, FingerprintPolicy, Idempotency, IdempotencyLayer, IdempotencyLayerBuilder,
    IssuedKeys, KeyIssuer, KeySource, KeyStanding, Principal, Retention, SignedKeys, Stored,
};
use tower_idempotency_core::{ClaimRequest, Fingerprint, IdempotencyKey, Scope, Store};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::{FaultStore, Faults, ManualClock, Verb, run};

use crate::support::{App, Body, Reply, TestStore, read};

const SECRET: [u8; 32] = [7; 32];
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A service that issues invites, and the clock that it shares with its store.
struct Service {
    store: TestStore,
    faults: Faults,
    clock: Arc<ManualClock>,
    keys: SignedKeys,
    runs: Arc<AtomicU64>,
}

impl Service {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        let memory = MemoryStore::builder().clock(clock.clone()).build().unwrap();
        let store = FaultStore::new(memory);
        Self {
            faults: store.faults().clone(),
            store,
            keys: SignedKeys::new("invites", SECRET)
                .unwrap()
                .clock(clock.clone()),
            clock,
            runs: Arc::default(),
        }
    }

    fn builder(&self) -> IdempotencyLayerBuilder<TestStore> {
        self.issued_by(IssuedKeys::signed(&self.keys))
    }

    fn issued_by(&self, keys: IssuedKeys) -> IdempotencyLayerBuilder<TestStore> {
        IdempotencyLayer::builder(self.store.clone(), Principal::public())
            .sweep(None)
            .no_cache()
            .key_sources([KeySource::json_pointer("/token")])
            .issued_keys(keys)
    }

    /// Wraps the service: it answers 201 with the number of its run, or what it is told to.
    fn serve(&self, layer: &IdempotencyLayer<TestStore>) -> App {
        let runs = Arc::clone(&self.runs);
        let service = service_fn(move |request: Request<Body>| {
            let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
            async move { Ok::<_, Infallible>(answer(&request, run).await) }
        });
        BoxCloneSyncService::new(layer.layer(service))
    }

    fn app(&self) -> App {
        self.serve(&self.builder().build().unwrap())
    }

    fn issue(&self) -> String {
        self.keys.issue(HOUR).key.as_str().to_owned()
    }

    fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }
}

async fn answer(request: &Request<Body>, run: u64) -> Response<Body> {
    let told = |name: &str| request.headers().get(name);
    if let Some(gate) = request.extensions().get::<Arc<Semaphore>>() {
        let _ = gate.acquire().await;
    }
    let handle = request.extensions().get::<Idempotency>().unwrap();
    if told("omit").is_some() {
        handle.omit_body();
    }
    if told("keep-a-second").is_some() {
        handle.retention(Retention::For(Duration::from_secs(1)));
    }
    let status = told("answer").map_or(201, |status| status.to_str().unwrap().parse().unwrap());
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header("content-type", "application/json")
        .body(Full::from(json!({ "id": run }).to_string()))
        .unwrap()
}

fn submission(token: &str) -> Request<Body> {
    let body = json!({ "token": token, "name": "Ada" }).to_string();
    Request::post("/submissions")
        .body(Full::from(body))
        .unwrap()
}

fn told(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    let headers = request.headers_mut();
    headers.insert(name, value.parse().unwrap());
    request
}

async fn ask(app: &App, request: Request<Body>) -> Reply {
    read(app.clone().oneshot(request).await.unwrap()).await
}

async fn submit(app: &App, token: &str) -> Reply {
    ask(app, submission(token)).await
}

fn of(reply: &Reply) -> (u16, Value) {
    (reply.status, serde_json::from_str(&reply.body).unwrap())
}

/// What a refusal says.
fn refusal(reply: &Reply) -> (u16, String) {
    let (status, document) = of(reply);
    (status, document["code"].as_str().unwrap().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_used_key_is_answered_with_the_original_response_and_says_so() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        let first = submit(&app, &token).await;
        assert_eq!(of(&first), (201, json!({ "id": 1 })));
        assert_eq!(first.stored.as_deref(), Some("true"));
        for _ in 0..2 {
            let again = submit(&app, &token).await;
            assert_eq!(of(&again), (200, json!({ "id": 1, "idempotent": true })));
            assert_eq!(again.replay.as_deref(), Some("true"));
        }
        assert_eq!(service.runs(), 1);
    });
}

#[test]
fn the_kept_response_is_as_the_handler_made_it() {
    run(async {
        let service = Service::new();
        let token = service.issue();
        submit(&service.app(), &token).await;
        let plain = IssuedKeys::signed(&service.keys).replay_status(None);
        let layer = service.issued_by(plain.replay_member(None)).build();
        let again = submit(&service.serve(&layer.unwrap()), &token).await;
        assert_eq!(of(&again), (201, json!({ "id": 1 })));
    });
}

#[test]
fn of_twenty_uses_of_one_issued_key_one_runs() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        let barrier = Arc::new(Barrier::new(20));
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            let (app, token, barrier) = (app.clone(), token.clone(), Arc::clone(&barrier));
            clients.spawn(async move {
                barrier.wait().await;
                submit(&app, &token).await
            });
        }
        let mut created = 0;
        while let Some(reply) = clients.join_next().await {
            let reply = reply.unwrap();
            match reply.status {
                201 => created += 1,
                200 => assert_eq!(of(&reply).1, json!({ "id": 1, "idempotent": true })),
                _ => assert_eq!(refusal(&reply), refused(409, "REQUEST_IN_PROGRESS")),
            }
        }
        assert_eq!((created, service.runs()), (1, 1));
    });
}

#[test]
fn a_key_that_was_not_issued_is_refused_before_the_store() {
    run(async {
        let service = Service::new();
        let app = service.app();
        let other = SignedKeys::new("coupons", SECRET).unwrap().issue(HOUR);
        let token = service.issue();
        let last = if token.ends_with('A') { 'B' } else { 'A' };
        let tampered = format!("{}{last}", &token[..75]);
        for token in ["42", other.key.as_str(), &tampered, &token[1..]] {
            let reply = submit(&app, token).await;
            assert_eq!(refusal(&reply), refused(400, "IDEMPOTENCY_KEY_UNKNOWN"));
        }
        assert_eq!((service.runs(), service.faults.all_calls()), (0, 0));
    });
}

#[test]
fn an_issued_key_is_required_whatever_the_request_looks_like() {
    run(async {
        let service = Service::new();
        let app = service.serve(&service.builder().build().unwrap().optional());
        let upgrade = Request::post("/submissions")
            .header("connection", "upgrade")
            .header("upgrade", "websocket");
        let grpc = Request::post("/submissions").header("content-type", "application/grpc");
        for request in [Request::post("/submissions"), upgrade, grpc] {
            let reply = ask(&app, request.body(Body::default()).unwrap()).await;
            assert_eq!(refusal(&reply), refused(400, "IDEMPOTENCY_KEY_MISSING"));
        }
        assert_eq!(service.runs(), 0);
    });
}

/// Whether the body has to be read or not: a header that is not there is seen at once.
#[test]
fn an_issued_key_is_required_in_a_header_too() {
    run(async {
        let service = Service::new();
        let builder = service
            .builder()
            .key_sources([KeySource::header("invite-token")]);
        let app = service.serve(&builder.build().unwrap().optional());
        let reply = ask(&app, submission(&service.issue())).await;
        assert_eq!(refusal(&reply), refused(400, "IDEMPOTENCY_KEY_MISSING"));
        assert_eq!(service.runs(), 0);
        let request = told(submission(""), "invite-token", &service.issue());
        assert_eq!(ask(&app, request).await.status, 201);
    });
}

/// A general layer around all routes lets clients make keys; one of these must not open a route
/// that needs an issued one.
#[test]
fn a_key_for_an_outer_layer_is_no_way_around_the_issuer() {
    run(async {
        let service = Service::new();
        let inner = service.app().map_response(|response: Response<_>| {
            let (head, _) = response.into_parts();
            Response::from_parts(head, Body::default())
        });
        let outer = IdempotencyLayer::builder(service.store.clone(), Principal::public());
        let outer = outer.sweep(None).build().unwrap();
        let app: App = BoxCloneSyncService::new(outer.layer(inner));
        for (key, token, status) in [("a", "made up", 400), ("b", &*service.issue(), 201)] {
            let request = told(submission(token), "idempotency-key", key);
            assert_eq!(ask(&app, request).await.status, status);
        }
        assert_eq!(service.runs(), 1);
    });
}

#[test]
fn the_same_layer_twice_asks_for_the_key_once() {
    run(async {
        let service = Service::new();
        let layer = service.builder().build().unwrap();
        let inner = service.serve(&layer).map_response(|response| {
            let (head, _) = Response::into_parts(response);
            Response::from_parts(head, Body::default())
        });
        let app: App = BoxCloneSyncService::new(layer.layer(inner));
        assert_eq!(submit(&app, &service.issue()).await.status, 201);
    });
}

#[test]
fn an_expired_key_that_was_not_used_is_gone() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        service.clock.advance(HOUR);
        let reply = submit(&app, &token).await;
        assert_eq!(refusal(&reply), refused(410, "IDEMPOTENCY_KEY_EXPIRED"));
        // Looking leaves nothing behind.
        assert_eq!(service.faults.calls(Verb::Claim), 0);
        assert_eq!(service.runs(), 0);
    });
}

#[test]
fn an_expired_key_that_was_used_is_still_replayed() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        submit(&app, &token).await;
        service.clock.advance(HOUR * 2);
        let again = submit(&app, &token).await;
        assert_eq!(of(&again), (200, json!({ "id": 1, "idempotent": true })));
        let other = json!({ "token": token, "name": "Grace" }).to_string();
        let other = Request::post("/submissions").body(Full::from(other));
        let reply = ask(&app, other.unwrap()).await;
        assert_eq!(refusal(&reply), refused(422, "IDEMPOTENCY_KEY_REUSED"));
        assert_eq!(service.runs(), 1);
    });
}

/// Were the record forgotten while the key is valid, the key could be used again.
#[test]
fn the_record_of_an_issued_key_outlasts_the_key() {
    run(async {
        let service = Service::new();
        let short = Retention::For(Duration::from_secs(1));
        let by_layer = service.serve(&service.builder().retention(short).build().unwrap());
        let by_handler = service.app();
        let token = |_| service.keys.issue(DAY).key.as_str().to_owned();
        let tokens = [token(0), token(1)];
        submit(&by_layer, &tokens[0]).await;
        let request = told(submission(&tokens[1]), "keep-a-second", "yes");
        ask(&by_handler, request).await;
        let statuses = async || {
            let first = submit(&by_layer, &tokens[0]).await.status;
            (first, submit(&by_handler, &tokens[1]).await.status)
        };
        service.clock.advance(DAY - Duration::from_secs(1));
        assert_eq!(statuses().await, (200, 200));
        service.clock.advance(Duration::from_millis(1_500));
        assert_eq!(statuses().await, (200, 200));
        service.clock.advance(Duration::from_secs(1));
        assert_eq!(statuses().await, (410, 410));
        assert_eq!(service.runs(), 2);
    });
}

#[test]
fn a_used_key_whose_answer_is_not_kept_is_refused() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        let request = told(submission(&token), "omit", "yes");
        assert_eq!(ask(&app, request).await.status, 201);
        let used = refused(409, "IDEMPOTENCY_KEY_USED");
        assert_eq!(refusal(&submit(&app, &token).await), used);
        service.clock.advance(HOUR);
        assert_eq!(refusal(&submit(&app, &token).await), used);
        assert_eq!(service.runs(), 1);
    });
}

#[test]
fn an_expired_key_that_is_being_used_is_in_progress() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        let gate = Arc::new(Semaphore::new(0));
        let mut request = submission(&token);
        request.extensions_mut().insert(Arc::clone(&gate));
        let first = tokio::spawn({
            let app = app.clone();
            async move { ask(&app, request).await }
        });
        while service.runs() == 0 {
            tokio::task::yield_now().await;
        }
        // The expiry passes; the lease has begun less than its length ago.
        let keys = service.keys.clone().clock(Arc::new({
            let later = ManualClock::new();
            later.advance(HOUR);
            later
        }));
        let later = service.issued_by(IssuedKeys::signed(&keys)).build();
        let later = service.serve(&later.unwrap());
        let reply = submit(&later, &token).await;
        assert_eq!(refusal(&reply), refused(409, "REQUEST_IN_PROGRESS"));
        gate.close();
        assert_eq!(first.await.unwrap().status, 201);
        assert_eq!(submit(&later, &token).await.status, 200);
    });
}

/// The process that used it has died.
#[test]
fn an_expired_key_whose_use_ended_without_a_trace_runs_nothing() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        let scope = Scope::new("", "issued invites");
        let key = IdempotencyKey::new(&token).unwrap();
        let mut claim = ClaimRequest::new(scope, key, Fingerprint::OFF);
        claim.crash_policy = CrashPolicy::Retry;
        assert!(service.store.claim(&claim).await.is_ok());
        service.clock.advance(HOUR);
        let reply = submit(&app, &token).await;
        assert_eq!(refusal(&reply), refused(409, "OUTCOME_UNKNOWN"));
        // And after the failed retention there is nothing to be seen of it.
        service.clock.advance(DAY + HOUR);
        let reply = submit(&app, &token).await;
        assert_eq!(refusal(&reply), refused(410, "IDEMPOTENCY_KEY_EXPIRED"));
        assert_eq!(service.runs(), 0);
    });
}

#[test]
fn a_use_that_failed_leaves_the_key_usable_until_it_expires() {
    run(async {
        let service = Service::new();
        let layer = service.builder().stored(Stored::success_only());
        let app = service.serve(&layer.build().unwrap());
        let token = service.issue();
        for status in ["500", "422"] {
            let request = told(submission(&token), "answer", status);
            assert_eq!(ask(&app, request).await.status.to_string(), status);
        }
        assert_eq!(submit(&app, &token).await.status, 201);

        let token = service.issue();
        let request = told(submission(&token), "answer", "500");
        assert_eq!(ask(&app, request).await.status, 500);
        service.clock.advance(HOUR);
        let reply = submit(&app, &token).await;
        assert_eq!(refusal(&reply), refused(410, "IDEMPOTENCY_KEY_EXPIRED"));
        assert_eq!(service.runs(), 4);
    });
}

#[test]
fn a_refusal_that_was_kept_is_not_made_a_success() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        for _ in 0..2 {
            let request = told(submission(&token), "answer", "404");
            assert_eq!(of(&ask(&app, request).await), (404, json!({ "id": 1 })));
        }
    });
}

/// Otherwise one invite could be used once by everybody, and once on every route.
#[test]
fn an_issued_key_is_used_once_by_whomever_and_wherever() {
    run(async {
        let service = Service::new();
        let builder = IdempotencyLayer::builder(service.store.clone(), Principal::header("x-user"))
            .sweep(None)
            .key_sources([KeySource::json_pointer("/token")])
            .fingerprint(FingerprintPolicy::default().off())
            .issued_keys(IssuedKeys::signed(&service.keys));
        let app = service.serve(&builder.build().unwrap());
        let token = service.issue();
        let mut statuses = Vec::new();
        for (user, path) in [("ada", "/a"), ("grace", "/a"), ("ada", "/b")] {
            let mut request = told(submission(&token), "x-user", user);
            *request.uri_mut() = path.parse().unwrap();
            statuses.push(ask(&app, request).await.status);
        }
        assert_eq!(statuses, [201, 200, 200]);
        // Nobody in particular is nobody.
        assert_eq!(submit(&app, &service.issue()).await.status, 403);
        assert_eq!(service.runs(), 1);
    });
}

#[test]
fn a_key_of_the_last_secret_is_served_while_secrets_are_exchanged() {
    run(async {
        let service = Service::new();
        let token = service.issue();
        let next = SignedKeys::new("invites", [8; 32]).unwrap();
        let next = next.clock(service.clock.clone());
        let strict = service.issued_by(IssuedKeys::signed(&next)).build();
        let reply = submit(&service.serve(&strict.unwrap()), &token).await;
        assert_eq!(refusal(&reply), refused(400, "IDEMPOTENCY_KEY_UNKNOWN"));
        let both = next.accept(SECRET).unwrap();
        let both = service.issued_by(IssuedKeys::signed(&both)).build();
        let both = service.serve(&both.unwrap());
        assert_eq!(submit(&both, &token).await.status, 201);
        assert_eq!(submit(&both, &token).await.status, 200);
    });
}

/// A table of tokens, in short.
#[derive(Clone)]
struct Table(Arc<tokio::sync::Mutex<Result<KeyStanding, &'static str>>>);

impl KeyIssuer for Table {
    type Error = &'static str;

    async fn standing(
        &self,
        _: &IdempotencyKey,
        _: &http::request::Parts,
    ) -> Result<KeyStanding, &'static str> {
        *self.0.lock().await
    }
}

#[test]
fn an_issuer_of_ones_own_is_asked_about_every_request() {
    run(async {
        let service = Service::new();
        let says = |standing| Table(Arc::new(tokio::sync::Mutex::new(standing)));
        let table = says(Ok(KeyStanding::Used));
        // From memory a replay needs no store, but it needs the issuer.
        let layer = service
            .issued_by(IssuedKeys::by("tokens", table.clone()))
            .danger_fail_open()
            .cache_bytes(1 << 20)
            .cache_completions(true)
            .build();
        let app = service.serve(&layer.unwrap());
        let used = refused(409, "IDEMPOTENCY_KEY_USED");
        assert_eq!(refusal(&submit(&app, "t").await), used);

        *table.0.lock().await = Ok(KeyStanding::Valid { remaining: None });
        assert_eq!(submit(&app, "t").await.status, 201);
        // A key without an end has a record without an end.
        service.clock.advance(DAY * 1_000);
        let calls = service.faults.all_calls();
        assert_eq!(submit(&app, "t").await.status, 200);
        assert_eq!(service.faults.all_calls(), calls);

        *table.0.lock().await = Ok(KeyStanding::Used);
        assert_eq!(submit(&app, "t").await.status, 200);
        *table.0.lock().await = Ok(KeyStanding::Unknown);
        let reply = submit(&app, "t").await;
        assert_eq!(refusal(&reply), refused(400, "IDEMPOTENCY_KEY_UNKNOWN"));
        *table.0.lock().await = Err("no connection");
        let reply = submit(&app, "other").await;
        assert_eq!(
            refusal(&reply),
            refused(503, "IDEMPOTENCY_STORE_UNAVAILABLE")
        );
        assert_eq!(service.runs(), 1);
    });
}

#[test]
fn an_expired_key_that_cannot_be_looked_up_is_not_called_unused() {
    run(async {
        let service = Service::new();
        let (app, token) = (service.app(), service.issue());
        service.clock.advance(HOUR);
        let kind = tower_idempotency_core::StoreErrorKind::Unavailable;
        service.faults.fail_next(Verb::Lookup, 1, kind);
        let reply = submit(&app, &token).await;
        assert_eq!(
            refusal(&reply),
            refused(503, "IDEMPOTENCY_STORE_UNAVAILABLE")
        );
        assert_eq!(submit(&app, &token).await.status, 410);
    });
}

#[test]
fn a_replay_that_would_not_be_a_success_is_refused_at_build_time() {
    let service = Service::new();
    let keys = IssuedKeys::signed(&service.keys).replay_status(StatusCode::NOT_FOUND);
    let error = service.issued_by(keys).build().unwrap_err();
    assert_eq!(error.setting(), "issued_keys.replay_status");
    let nameless = IssuedKeys::by("", service.keys.clone());
    let error = service.issued_by(nameless).build().unwrap_err();
    assert_eq!(error.setting(), "issued_keys.purpose");
}

//! Questions that a handler asks before it does anything, and what follows them with the same key.

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
use tokio::{sync::Semaphore, task::JoinSet};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_idempotency::{IdempotencyLayer, NotFinal, WaitPolicy};
use tower_idempotency_core::StoreErrorKind;
use tower_idempotency_testkit::{Verb, run};

use crate::support::{App, Body, Reply, TestStore, builder, read, store, until};

/// What the service counts.
#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    created: AtomicU64,
    running: AtomicU64,
}

/// Wraps a service that asks before it creates, and asks only when the gate lets it.
fn asking(layer: &IdempotencyLayer<TestStore>) -> (App, Arc<Counts>, Arc<Semaphore>) {
    let (counts, gate) = (Arc::new(Counts::default()), Arc::new(Semaphore::new(0)));
    let (counted, closed) = (Arc::clone(&counts), Arc::clone(&gate));
    let service = service_fn(move |request: Request<Body>| {
        let (counts, gate) = (Arc::clone(&counted), Arc::clone(&closed));
        async move {
            assert_eq!(counts.running.fetch_add(1, Ordering::SeqCst), 0);
            let response = if request.uri().query() == Some("confirm_credit=1") {
                let number = counts.created.fetch_add(1, Ordering::SeqCst) + 1;
                answer(StatusCode::CREATED, &format!("event {number}"))
            } else {
                let number = counts.asked.fetch_add(1, Ordering::SeqCst) + 1;
                gate.acquire().await.unwrap().forget();
                let text = format!("on credit? {number}");
                let mut question = answer(StatusCode::PAYMENT_REQUIRED, &text);
                question.extensions_mut().insert(NotFinal);
                question
            };
            counts.running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(response)
        }
    });
    let app = BoxCloneSyncService::new(layer.layer(service));
    (app, counts, gate)
}

fn answer(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response
}

async fn post(app: &App, path: &'static str) -> Reply {
    let request = Request::post(path).header("idempotency-key", "k");
    let request = request.body(Full::from("{}")).unwrap();
    let mut app = app.clone();
    let response = app.ready().await.unwrap().call(request).await;
    read(response.unwrap()).await
}

const ASK: &str = "/events";
const CONFIRM: &str = "/events?confirm_credit=1";

#[test]
fn a_confirmation_runs_with_the_key_of_its_question() {
    run(async {
        let (store, _) = store();
        let (app, counts, gate) = asking(&builder(store).build().unwrap());
        gate.add_permits(2);
        for number in 1..=2 {
            let question = post(&app, ASK).await;
            assert_eq!((question.status, question.stored), (402, None));
            assert_eq!(question.body, format!("on credit? {number}"));
        }
        let event = post(&app, CONFIRM).await;
        assert_eq!((event.status, event.body.as_str()), (201, "event 1"));
        assert_eq!(event.stored.as_deref(), Some("true"));
        let retry = post(&app, CONFIRM).await;
        assert_eq!((retry.status, retry.body), (201, event.body));
        assert_eq!(retry.replay.as_deref(), Some("true"));
        // What is final now is another request than the question.
        assert_eq!(post(&app, ASK).await.status, 422);
        assert_eq!(counts.created.load(Ordering::SeqCst), 1);
    });
}

/// The status alone would have been kept.
#[test]
fn a_question_wins_over_a_policy_that_keeps_everything() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).stored(tower_idempotency::Stored::everything());
        let (app, _, gate) = asking(&layer.build().unwrap());
        gate.add_permits(1);
        assert_eq!(post(&app, ASK).await.status, 402);
        assert_eq!(post(&app, CONFIRM).await.status, 201);
    });
}

#[test]
fn while_a_question_is_made_up_its_key_is_taken() {
    run(async {
        let (store, _) = store();
        let (app, counts, gate) = asking(&builder(store).build().unwrap());
        let first = tokio::spawn({
            let app = app.clone();
            async move { post(&app, ASK).await }
        });
        until(|| counts.asked.load(Ordering::SeqCst) == 1).await;
        assert_eq!(post(&app, ASK).await.status, 409);
        assert_eq!(post(&app, CONFIRM).await.status, 422);
        gate.add_permits(1);
        assert_eq!(first.await.unwrap().status, 402);
        assert_eq!(post(&app, CONFIRM).await.status, 201);
    });
}

/// There is nothing to be replayed, so each gets an answer of its own, one after the other.
#[test]
fn those_who_waited_for_a_question_are_asked_one_after_the_other() {
    run(async {
        let (store, faults) = store();
        let wait = WaitPolicy::at_most(Duration::from_secs(10));
        let (app, counts, gate) = asking(&builder(store).wait(wait).build().unwrap());
        let mut clients = JoinSet::new();
        for _ in 0..5 {
            let app = app.clone();
            clients.spawn(async move { post(&app, ASK).await });
        }
        // One runs, and four have asked twice before they wait.
        until(|| faults.calls(Verb::Claim) == 9).await;
        assert_eq!(counts.asked.load(Ordering::SeqCst), 1);
        gate.add_permits(5);
        let mut bodies = Vec::new();
        while let Some(reply) = clients.join_next().await {
            let reply = reply.unwrap();
            assert_eq!((reply.status, &reply.replay), (402, &None));
            bodies.push(reply.body);
        }
        bodies.sort_unstable();
        let all = (1..=5).map(|number| format!("on credit? {number}"));
        assert_eq!(bodies, all.collect::<Vec<_>>());
    });
}

/// The confirmation is another request than the one that the record is about, so the end of the
/// lease would not help it.
#[test]
fn a_key_that_could_not_be_given_up_is_free_for_the_confirmation_after_all() {
    run(async {
        let (store, faults) = store();
        let layer = builder(store).build().unwrap();
        let (app, _, gate) = asking(&layer);
        gate.add_permits(1);
        faults.fail_until_healed(Verb::Release, StoreErrorKind::Unavailable);
        assert_eq!(post(&app, ASK).await.status, 402);
        assert_eq!(post(&app, CONFIRM).await.status, 422);
        until(|| faults.calls(Verb::Release) >= 2).await;
        faults.heal();
        layer.drain().await;
        assert_eq!(post(&app, CONFIRM).await.status, 201);
    });
}

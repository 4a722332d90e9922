//! Durable steps and derived keys.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{Request, StatusCode};
use tokio::sync::Notify;
use tower_idempotency::{Idempotency, StepError, StepErrorKind};
use tower_idempotency_testkit::run;

use crate::support::{App, Body, builder, send, store, wrap};

fn handle(request: &Request<Body>) -> Idempotency {
    request.extensions().get::<Idempotency>().cloned().unwrap()
}

#[derive(Clone, Default)]
struct Counts {
    charges: Arc<AtomicU64>,
    runs: Arc<AtomicU64>,
}

/// A handler that charges, and fails behind the charge in its first run.
fn charging(counts: &Counts) -> App {
    let (store, _) = store();
    let layer = builder(store).build().unwrap();
    let counts = counts.clone();
    wrap(&layer, move |request| {
        let idempotency = handle(&request);
        let counts = counts.clone();
        async move {
            let run = counts.runs.fetch_add(1, Ordering::SeqCst);
            let charge = idempotency.step("charge", || async {
                let charge = counts.charges.fetch_add(1, Ordering::SeqCst) + 1;
                Ok::<_, StepError<()>>(charge)
            });
            let charge = charge.await.map_err(|error| error.kind()).unwrap();
            let key = idempotency.derive_key("charge");
            match run {
                0 => (StatusCode::INTERNAL_SERVER_ERROR, key.to_string()),
                _ => (StatusCode::CREATED, format!("{charge} {key}")),
            }
        }
    })
}

#[test]
fn a_finished_step_is_not_repeated_after_a_failure() {
    run(async {
        let counts = Counts::default();
        let app = charging(&counts);
        let failed = send(&app, "k").await;
        assert_eq!(failed.status, 500);
        let done = send(&app, "k").await;
        assert_eq!(done.body, format!("1 {}", failed.body));
        assert_eq!(counts.charges.load(Ordering::SeqCst), 1);
        assert_eq!(counts.runs.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_step_that_fails_keeps_nothing() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let tries = Arc::new(AtomicU64::new(0));
        let tried = Arc::clone(&tries);
        let app = wrap(&layer, move |request| {
            let idempotency = handle(&request);
            let tried = Arc::clone(&tried);
            async move {
                let step = || {
                    idempotency.step("charge", || async {
                        match tried.fetch_add(1, Ordering::SeqCst) {
                            0 => Err("declined"),
                            _ => Ok("paid".to_owned()),
                        }
                    })
                };
                let first = step().await;
                assert!(matches!(first, Err(StepError::Failed("declined"))));
                let paid: String = step().await.unwrap();
                let again: String = step().await.unwrap();
                (StatusCode::CREATED, paid + &again)
            }
        });
        assert_eq!(send(&app, "k").await.body, "paidpaid");
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn two_steps_of_one_name_do_not_run_at_once() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let app = wrap(&layer, |request| {
            let idempotency = handle(&request);
            async move {
                let begun = Notify::new();
                let others_ended = Notify::new();
                let slow = idempotency.step("a", || async {
                    begun.notify_one();
                    others_ended.notified().await;
                    Ok::<_, ()>(1)
                });
                let others = async {
                    begun.notified().await;
                    let refused = idempotency.step("a", || async { Ok::<_, ()>(2) }).await;
                    let beside = idempotency.step("b", || async { Ok::<_, ()>(3) }).await;
                    others_ended.notify_one();
                    (refused.map_err(|error| error.kind()), beside.unwrap())
                };
                let (slow, (refused, beside)) = tokio::join!(slow, others);
                assert_eq!(refused, Err(StepErrorKind::Running));
                (StatusCode::CREATED, format!("{} {beside}", slow.unwrap()))
            }
        });
        assert_eq!(send(&app, "k").await.body, "1 3");
    });
}

#[test]
fn a_result_of_another_shape_is_told() {
    run(async {
        let (store, _) = store();
        let layer = builder(store).build().unwrap();
        let app = wrap(&layer, |request| {
            let idempotency = handle(&request);
            async move {
                let text = idempotency.step("a", || async { Ok::<_, ()>("text".to_owned()) });
                text.await.unwrap();
                let number = idempotency.step("a", || async { Ok::<u8, ()>(1) }).await;
                (
                    StatusCode::CREATED,
                    format!("{:?}", number.map_err(|error| error.kind())),
                )
            }
        });
        assert_eq!(send(&app, "k").await.body, "Err(Format)");
    });
}

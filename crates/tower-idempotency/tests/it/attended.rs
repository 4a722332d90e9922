//! Executions go on, whoever drops or forgets the future that began them.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use http::StatusCode;
use tokio::{sync::Semaphore, time::timeout};
use tower::ServiceExt;
use tower_idempotency::Stored;
use tower_idempotency_testkit::{Faults, Verb, run};

use crate::support::{App, builder, read, request, send, store, wrap};

/// A layer with a short lease, and a handler that waits at a gate.
fn gated() -> (App, Faults, Arc<Semaphore>) {
    let (store, faults) = store();
    let layer = builder(store)
        .lease(Duration::from_millis(600))
        .build()
        .unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let app = wrap(&layer, move |_| {
        let gate = Arc::clone(&gate);
        async move {
            let _ = gate.acquire().await;
            (StatusCode::CREATED, "done".to_owned())
        }
    });
    (app, faults, opened)
}

/// Begins a request and polls it once.
fn begin(app: &App) -> Pin<Box<dyn Future<Output = u16> + Send>> {
    let app = app.clone();
    let mut response: Pin<Box<dyn Future<Output = u16> + Send>> = Box::pin(async move {
        let response = app.oneshot(request(Some("k"))).await.unwrap();
        read(response).await.status
    });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(response.as_mut().poll(&mut cx).is_pending());
    response
}

async fn until(faults: &Faults, verb: Verb, calls: u64) {
    let reached = async {
        while faults.calls(verb) < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), reached).await.unwrap();
}

/// A middleware that keeps our future and does not poll it cannot end the lease.
#[test]
fn a_future_that_nobody_polls_keeps_its_lease_and_ends() {
    run(async {
        let (app, faults, gate) = gated();
        let forgotten = begin(&app);
        until(&faults, Verb::Renew, 2).await;
        assert_eq!(send(&app, "k").await.status, 409);
        gate.close();
        until(&faults, Verb::Complete, 1).await;
        let answered = timeout(Duration::from_secs(20), forgotten).await;
        assert_eq!(answered.unwrap(), 201);
    });
}

/// The connection's task is woken when the task that its job has moved into ends.
#[test]
fn a_slow_handler_answers_its_own_client() {
    run(async {
        let (app, faults, gate) = gated();
        let client = tokio::spawn(async move { send(&app, "k").await });
        until(&faults, Verb::Renew, 2).await;
        gate.close();
        let reply = timeout(Duration::from_secs(20), client).await;
        assert_eq!(reply.unwrap().unwrap().body, "done");
    });
}

#[test]
fn a_request_that_is_answered_at_once_needs_no_renewal() {
    run(async {
        let (app, faults, gate) = gated();
        gate.close();
        assert_eq!(send(&app, "k").await.body, "done");
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(faults.calls(Verb::Renew), 0);
    });
}

/// Servers drop connections in destructors, outside of the runtime and while a thread unwinds.
#[test]
fn dropping_the_future_outside_of_its_runtime_does_not_stop_the_handler() {
    for unwinding in [false, true] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (app, faults, gate) = gated();
        let inside = runtime.enter();
        let begun = begin(&app);
        drop(inside);
        let dropped = catch_unwind(AssertUnwindSafe(move || {
            let _begun = begun;
            assert!(!unwinding, "the thread unwinds");
        }));
        assert_eq!(dropped.is_err(), unwinding);
        gate.close();
        runtime.block_on(until(&faults, Verb::Complete, 1));
        let replay = runtime.block_on(send(&app, "k"));
        assert_eq!(replay.replay.as_deref(), Some("true"));
    }
}

#[test]
fn dropping_the_future_after_its_runtime_has_shut_down_is_harmless() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (app, faults, _gate) = gated();
    let inside = runtime.enter();
    let begun = begin(&app);
    drop(inside);
    drop(runtime);
    drop(begun);
    assert_eq!(faults.calls(Verb::Complete), 0);
}

#[test]
fn a_panic_in_a_function_of_the_users_is_answered_500() {
    run(async {
        let (store, _) = store();
        let keep = Stored::from_fn(|_| panic!("the function panics"));
        let layer = builder(store).stored(keep).build().unwrap();
        let app = wrap(&layer, |_| async { (StatusCode::OK, "done".to_owned()) });
        assert_eq!(send(&app, "k").await.status, 500);
    });
}

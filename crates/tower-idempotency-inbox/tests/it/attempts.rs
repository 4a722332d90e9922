//! Attempts behind the first.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request, routing::post};
use tokio::sync::Notify;
use tower_idempotency::Idempotency;
use tower_idempotency_inbox::{DeliveryState, Provider, RetrySchedule, Trigger};

use crate::support::{
    Handler, all, deliver, on_each, router, send, start, the_one, until, until_ended,
};

#[test]
fn a_transient_failure_runs_again_until_it_succeeds() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default().answering("one", &[503, 500, 200]);
        let router = router(&inbox, &handler);
        let worker = start(&inbox, &router);
        assert_eq!(deliver(&router, Some("k"), "one").await.status, 202);
        let kept = until_ended(&inbox).await;
        assert_eq!(
            (kept[0].state, kept[0].attempts),
            (DeliveryState::Succeeded, 3)
        );
        assert_eq!(*handler.bodies.lock().unwrap(), ["one", "one", "one"]);
        worker.stop().await;
    });
}

#[test]
fn a_delivery_that_fails_too_often_is_a_dead_letter() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default().answering("one", &[503]);
        let router = router(&inbox, &handler);
        let worker = start(&inbox, &router);
        assert_eq!(deliver(&router, Some("k"), "one").await.status, 202);
        let kept = until_ended(&inbox).await;
        assert_eq!((kept[0].state, kept[0].attempts), (DeliveryState::Dead, 3));
        assert_eq!(kept[0].category.as_deref(), Some("transient"));
        assert_eq!(handler.calls(), 3);
        worker.stop().await;
    });
}

#[test]
fn several_workers_share_the_work() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let mut handler = Handler::default();
        for number in 0..30 {
            handler = handler.answering(&number.to_string(), &[503, 200]);
        }
        let router = router(&inbox, &handler);
        for number in 0..30 {
            let key = number.to_string();
            assert_eq!(deliver(&router, Some(&key), &key).await.status, 202);
        }
        let workers = [(); 3].map(|()| start(&inbox, &router));
        let kept = until_ended(&inbox).await;
        assert!(
            kept.iter()
                .all(|kept| kept.state == DeliveryState::Succeeded)
        );
        assert_eq!(handler.calls(), 60);
        for worker in workers {
            worker.stop().await;
        }
    });
}

/// The inbox's own table forgets that the attempt runs, or that it has succeeded: the lease and
/// the record inside of it do not.
#[test]
fn a_delivery_that_is_taken_too_early_is_not_run_twice() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let gate = Arc::new(Notify::new());
        let mut handler = Handler::default();
        handler.gate = Some(Arc::clone(&gate));
        let router = router(&inbox, &handler);
        let worker = start(&inbox, &router);
        let sender = tokio::spawn({
            let router = router.clone();
            async move { deliver(&router, Some("k"), "one").await.status }
        });
        until("the handler", async || handler.calls() == 1).await;
        let before = the_one(&inbox).await.next_attempt_at;
        database.advance(Duration::from_secs(60)).await;
        // The worker has taken it, was refused, and has given the attempt back.
        until("the worker", async || {
            let kept = the_one(&inbox).await;
            kept.attempts == 1
                && kept.next_attempt_at < before
                && kept.next_attempt_at > before.map(|then| then - Duration::from_secs(50))
        })
        .await;
        gate.notify_one();
        assert_eq!(sender.await.unwrap(), 200);
        assert_eq!(until_ended(&inbox).await[0].state, DeliveryState::Succeeded);

        let forget = "UPDATE webhook_deliveries SET state = 'received', ended_at = NULL,
                      next_attempt_at = received_at";
        database.execute(forget).await.unwrap();
        assert_eq!(until_ended(&inbox).await[0].state, DeliveryState::Succeeded);
        assert_eq!(handler.calls(), 1);
        worker.stop().await;
    });
}

#[test]
fn an_attempt_that_was_overtaken_decides_nothing_by_failing() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let gate = Arc::new(Notify::new());
        let mut handler = Handler::default().answering("one", &[422]);
        handler.gate = Some(Arc::clone(&gate));
        let router = router(&inbox, &handler);
        let sender = tokio::spawn({
            let router = router.clone();
            async move { deliver(&router, Some("k"), "one").await.status }
        });
        until("the handler", async || handler.calls() == 1).await;
        let overtake = "UPDATE webhook_deliveries SET attempts = 2";
        database.execute(overtake).await.unwrap();
        gate.notify_one();
        assert_eq!(sender.await.unwrap(), 422);
        let kept = the_one(&inbox).await;
        assert_eq!((kept.state, kept.attempts), (DeliveryState::Received, 2));
        assert_eq!(kept.last_error, None);
    });
}

/// It is the only one that is allowed: were it taken for dead, it would be a dead letter.
#[test]
fn an_attempt_that_takes_long_is_left_alone() {
    on_each(async |database| {
        let once = RetrySchedule::new(Duration::ZERO, Duration::ZERO, 1);
        let inbox = database.inbox().lease(Duration::from_millis(800));
        let inbox = inbox.retry(once).build().unwrap();
        let gate = Arc::new(Notify::new());
        let mut handler = Handler::default();
        handler.gate = Some(Arc::clone(&gate));
        let router = router(&inbox, &handler);
        let worker = start(&inbox, &router);
        let sender = tokio::spawn({
            let router = router.clone();
            async move { deliver(&router, Some("k"), "one").await.status }
        });
        until("the handler", async || handler.calls() == 1).await;
        let begun = the_one(&inbox).await.received_at;
        until("three leases", async || {
            let kept = the_one(&inbox).await;
            assert_eq!((kept.state, kept.attempts), (DeliveryState::Received, 1));
            kept.next_attempt_at > Some(begun + Duration::from_millis(3_200))
        })
        .await;
        gate.notify_one();
        assert_eq!(sender.await.unwrap(), 200);
        assert_eq!(the_one(&inbox).await.state, DeliveryState::Succeeded);
        worker.stop().await;
    });
}

#[test]
fn a_sender_that_leaves_does_not_stop_its_delivery() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let gate = Arc::new(Notify::new());
        let mut handler = Handler::default();
        handler.gate = Some(Arc::clone(&gate));
        let router = router(&inbox, &handler);
        let sender = tokio::spawn({
            let router = router.clone();
            async move { deliver(&router, Some("k"), "one").await.status }
        });
        until("the handler", async || handler.calls() == 1).await;
        sender.abort();
        gate.notify_one();
        inbox.drain().await;
        assert_eq!(the_one(&inbox).await.state, DeliveryState::Succeeded);
    });
}

/// What a killed process leaves: a kept delivery that nobody has begun, or nobody ends.
#[test]
fn what_a_dead_process_has_left_is_run_by_another() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default();
        let router = router(&inbox, &handler);
        assert_eq!(deliver(&router, Some("k"), "one").await.status, 200);
        for table in ["idempotency_keys", "webhook_deliveries"] {
            let sql = match table {
                "idempotency_keys" => "DELETE FROM idempotency_keys",
                _ => {
                    "UPDATE webhook_deliveries SET state = 'received', ended_at = NULL,
                      next_attempt_at = received_at"
                }
            };
            database.execute(sql).await.unwrap();
        }
        let worker = start(&inbox, &router);
        let kept = until_ended(&inbox).await;
        assert_eq!(
            (kept[0].state, kept[0].attempts),
            (DeliveryState::Succeeded, 2)
        );
        assert_eq!(handler.calls(), 2);
        // One that dies in each of its attempts is a dead letter in the end.
        let poisoned = "UPDATE webhook_deliveries SET state = 'received', ended_at = NULL,
                        attempts = attempts_allowed, next_attempt_at = received_at";
        database.execute(poisoned).await.unwrap();
        let kept = until_ended(&inbox).await;
        assert_eq!(kept[0].state, DeliveryState::Dead);
        assert_eq!(handler.calls(), 2);
        worker.stop().await;
    });
}

#[test]
fn a_handler_that_panics_is_tried_again() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = post(async |idempotency: Idempotency| {
            assert!(idempotency.attempt().number > 1, "the first attempt fails");
        });
        let trigger = Trigger::new("t").provider(Provider::GitHub);
        let router = Router::new()
            .route("/hooks/a", handler)
            .layer(inbox.layer(trigger).unwrap());
        let worker = start(&inbox, &router);
        let hook = Request::post("/hooks/a").body(Body::empty()).unwrap();
        assert_eq!(send(&router, hook).await.status, 202);
        let kept = until_ended(&inbox).await;
        assert_eq!(
            (kept[0].state, kept[0].attempts),
            (DeliveryState::Succeeded, 2)
        );
        worker.stop().await;
    });
}

#[test]
fn a_worker_whose_router_leads_nowhere_says_so() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default().answering("one", &[503]);
        let router = router(&inbox, &handler);
        assert_eq!(deliver(&router, Some("k"), "one").await.status, 202);
        let worker = start(&inbox, &Router::new());
        let kept = until_ended(&inbox).await;
        assert_eq!(kept[0].state, DeliveryState::Dead);
        let error = kept[0].last_error.clone().unwrap();
        assert!(error.contains("router"), "{error}");
        assert_eq!((handler.calls(), all(&inbox).await.len()), (1, 1));
        worker.stop().await;
    });
}

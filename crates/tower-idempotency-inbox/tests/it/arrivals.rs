//! What becomes of deliveries when they arrive.

use axum::{body::Body, http::Request};
use futures_util::future::join_all;
use tower_idempotency_inbox::DeliveryState;

use crate::support::{Handler, all, deliver, on_each, router, send, the_one};

#[test]
fn a_delivery_runs_once_and_its_duplicates_are_acknowledged() {
    on_each(async |database| {
        let (inbox, handler) = (database.inbox().build().unwrap(), Handler::default());
        let router = router(&inbox, &handler);
        let first = deliver(&router, Some("k"), "one").await;
        assert_eq!((first.status, first.body.as_str()), (200, "handled one"));
        assert_eq!(first.inbox.as_deref(), Some("executed"));
        for _ in 0..2 {
            let again = deliver(&router, Some("k"), "one").await;
            assert_eq!((again.status, again.body.as_str()), (200, ""));
            assert_eq!(again.inbox.as_deref(), Some("duplicate"));
        }
        assert_eq!(handler.calls(), 1);
        let kept = the_one(&inbox).await;
        assert_eq!((kept.state, kept.attempts), (DeliveryState::Succeeded, 1));
        assert_eq!((kept.path.as_str(), kept.body_bytes), ("/hooks/a", 3));
        assert!(kept.ended_at.is_some() && kept.next_attempt_at.is_none());
    });
}

#[test]
fn of_many_at_once_one_runs() {
    on_each(async |database| {
        let (inbox, handler) = (database.inbox().build().unwrap(), Handler::default());
        let router = router(&inbox, &handler);
        let answers = join_all((0..40).map(|_| deliver(&router, Some("k"), "one"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(handler.calls(), 1);
        assert_eq!(all(&inbox).await.len(), 1);
    });
}

#[test]
fn without_a_key_each_arrival_runs() {
    on_each(async |database| {
        let (inbox, handler) = (database.inbox().build().unwrap(), Handler::default());
        let router = router(&inbox, &handler);
        for _ in 0..3 {
            assert_eq!(deliver(&router, None, "one").await.status, 200);
        }
        // What cannot be a key is none: a refusal would make the sender come again.
        let nonsense = "x".repeat(300);
        assert_eq!(deliver(&router, Some(&nonsense), "one").await.status, 200);
        assert_eq!(handler.calls(), 4);
        assert_eq!(all(&inbox).await.len(), 4);
    });
}

#[test]
fn a_transient_failure_is_accepted_and_a_permanent_one_refused() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default()
            .answering("later", &[503])
            .answering("never", &[422]);
        let router = router(&inbox, &handler);
        let later = deliver(&router, Some("a"), "later").await;
        assert_eq!((later.status, later.body.as_str()), (202, ""));
        let never = deliver(&router, Some("b"), "never").await;
        assert_eq!((never.status, never.body.as_str()), (422, "handled never"));
        assert_eq!(never.inbox.as_deref(), Some("refused"));
        // The storm that a refusal may raise ends here.
        assert_eq!(deliver(&router, Some("b"), "never").await.status, 200);

        let kept = all(&inbox).await;
        let of = |state| kept.iter().find(|kept| kept.state == state).unwrap();
        let failed = of(DeliveryState::Failed);
        assert_eq!(failed.category.as_deref(), Some("transient"));
        assert_eq!(failed.last_error.as_deref(), Some("status 503"));
        assert!(failed.next_attempt_at.is_some());
        let dead = of(DeliveryState::Dead);
        assert_eq!(dead.category.as_deref(), Some("permanent"));
        assert_eq!(handler.calls(), 2);
    });
}

#[test]
fn only_the_index_on_keys_makes_a_duplicate() {
    on_each(async |database| {
        let (inbox, handler) = (database.inbox().build().unwrap(), Handler::default());
        let router = router(&inbox, &handler);
        let other = "CREATE UNIQUE INDEX another ON webhook_deliveries (trigger_id)";
        database.execute(other).await.unwrap();
        assert_eq!(deliver(&router, Some("a"), "one").await.status, 200);
        let refused = deliver(&router, Some("b"), "two").await;
        assert_eq!(refused.status, 503);
        assert!(refused.body.contains("INBOX_UNAVAILABLE"));
        assert_eq!(handler.calls(), 1);
    });
}

#[test]
fn what_cannot_be_kept_is_not_run() {
    on_each(async |database| {
        let inbox = database.inbox().max_request_bytes(10).build().unwrap();
        let handler = Handler::default();
        let router = router(&inbox, &handler);
        let large = deliver(&router, Some("a"), "more than ten bytes").await;
        assert_eq!(large.status, 413);
        assert!(large.body.contains("REQUEST_TOO_LARGE"));
        let drop_table = "DROP TABLE webhook_deliveries";
        database.execute(drop_table).await.unwrap();
        assert_eq!(deliver(&router, Some("b"), "small").await.status, 503);
        assert_eq!(handler.calls(), 0);
    });
}

#[test]
fn other_methods_and_unmatched_paths_are_no_deliveries() {
    on_each(async |database| {
        let (inbox, handler) = (database.inbox().build().unwrap(), Handler::default());
        let router = router(&inbox, &handler);
        let get = Request::get("/hooks/a").body(Body::empty()).unwrap();
        assert_eq!(send(&router, get).await.status, 405);
        let lost = Request::post("/nowhere").body(Body::empty()).unwrap();
        assert_eq!(send(&router, lost).await.status, 404);
        assert!(all(&inbox).await.is_empty());
    });
}

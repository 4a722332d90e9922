//! What operators can see and do.

use std::time::Duration;

use tower_idempotency_inbox::{DeliveryPage, DeliveryState, Redelivery, ReplayLimit};

use crate::support::{Handler, all, deliver, on_each, router, start, the_one, until_ended};

#[test]
fn a_dead_letter_is_delivered_again_when_asked_for() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default().answering("one", &[422, 503, 200]);
        let router = router(&inbox, &handler);
        let worker = start(&inbox, &router);
        assert_eq!(deliver(&router, Some("k"), "one").await.status, 422);
        let dead = inbox.dead_letters(&DeliveryPage::default()).await.unwrap();
        assert_eq!((dead.len(), dead[0].last_replay_at), (1, None));

        assert_eq!(
            inbox.redeliver(dead[0].id).await.unwrap(),
            Redelivery::Queued
        );
        let kept = until_ended(&inbox).await;
        assert_eq!(
            (kept[0].state, kept[0].attempts),
            (DeliveryState::Succeeded, 3)
        );
        assert!(kept[0].last_replay_at.is_some());
        let again = inbox.redeliver(dead[0].id).await.unwrap();
        assert_eq!(again, Redelivery::NotFailed(DeliveryState::Succeeded));
        assert_eq!(handler.calls(), 3);
        worker.stop().await;
    });
}

#[test]
fn one_wish_is_one_attempt_when_all_were_used() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default().answering("one", &[503]);
        let router = router(&inbox, &handler);
        let worker = start(&inbox, &router);
        deliver(&router, Some("k"), "one").await;
        let dead = until_ended(&inbox).await.remove(0);
        assert_eq!(inbox.redeliver(dead.id).await.unwrap(), Redelivery::Queued);
        let kept = until_ended(&inbox).await.remove(0);
        assert_eq!((kept.state, kept.attempts), (DeliveryState::Dead, 4));
        worker.stop().await;
    });
}

#[test]
fn wishes_are_limited_for_each_delivery_and_for_all() {
    on_each(async |database| {
        let limit = ReplayLimit::new(Duration::from_secs(10), 2);
        let inbox = database.inbox().replay_limit(limit).build().unwrap();
        let handler = Handler::default().answering("one", &[422]);
        let router = router(&inbox, &handler);
        for key in ["a", "b", "c"] {
            deliver(&router, Some(key), "one").await;
        }
        let ids: Vec<_> = all(&inbox).await.iter().map(|kept| kept.id).collect();
        assert_eq!(inbox.redeliver(ids[0]).await.unwrap(), Redelivery::Queued);
        let limited = |redelivery, least: u64, most: u64| match redelivery {
            Redelivery::RateLimited { retry_after } => {
                let bounds = Duration::from_secs(least)..=Duration::from_secs(most);
                assert!(bounds.contains(&retry_after), "{retry_after:?}");
            }
            other => panic!("expected to be limited: {other:?}"),
        };
        limited(inbox.redeliver(ids[0]).await.unwrap(), 5, 10);
        assert_eq!(inbox.redeliver(ids[1]).await.unwrap(), Redelivery::Queued);
        limited(inbox.redeliver(ids[2]).await.unwrap(), 50, 60);
        database.advance(Duration::from_secs(61)).await;
        assert_eq!(inbox.redeliver(ids[2]).await.unwrap(), Redelivery::Queued);
        assert_eq!(inbox.redeliver(ids[0]).await.unwrap(), Redelivery::Queued);
    });
}

#[test]
fn an_unknown_delivery_is_absent() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let id = "0b6e4c5e-1111-4222-8333-444455556666".parse().unwrap();
        assert_eq!(inbox.redeliver(id).await.unwrap(), Redelivery::Absent);
        assert!(inbox.delivery(id).await.unwrap().is_none());
    });
}

#[test]
fn pages_follow_each_other_without_gaps() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default().answering("dead", &[422]);
        let router = router(&inbox, &handler);
        for number in 0..9 {
            let body = if number % 3 == 0 { "dead" } else { "alive" };
            deliver(&router, Some(&number.to_string()), body).await;
        }
        for (state, expected) in [(None, 9), (Some(DeliveryState::Dead), 3)] {
            let mut page = DeliveryPage::default().limit(2);
            page.state = state;
            let mut seen = Vec::new();
            loop {
                let part = inbox.list(&page).await.unwrap();
                let Some(last) = part.last() else { break };
                page = page.after(last.id);
                seen.extend(part.iter().map(|kept| kept.id));
            }
            assert_eq!(seen.len(), expected);
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), expected);
        }
    });
}

#[test]
fn statistics_count_the_days_that_are_asked_for() {
    on_each(async |database| {
        let inbox = database.inbox().build().unwrap();
        let handler = Handler::default()
            .answering("dead", &[422])
            .answering("later", &[503]);
        let router = router(&inbox, &handler);
        deliver(&router, Some("old"), "alive").await;
        database
            .advance(Duration::from_secs(3 * 24 * 60 * 60))
            .await;
        for body in ["alive", "dead", "later"] {
            deliver(&router, Some(body), body).await;
        }
        deliver(&router, None, "alive").await;

        let today = inbox.statistics(1).await.unwrap();
        assert_eq!(today.len(), 1);
        let counts = |day: &tower_idempotency_inbox::DayStatistics| {
            [
                day.received,
                day.keyless,
                day.succeeded,
                day.waiting,
                day.dead,
            ]
        };
        assert_eq!(counts(&today[0]), [4, 1, 2, 1, 1]);
        let week = inbox.statistics(7).await.unwrap();
        assert_eq!(week.len(), 2);
        assert_eq!(week[0], today[0]);
        assert_eq!(counts(&week[1]), [1, 0, 1, 0, 0]);
    });
}

#[test]
fn a_repeated_key_is_new_once_its_delivery_is_forgotten() {
    on_each(async |database| {
        let hour = Duration::from_secs(60 * 60);
        let inbox = database.inbox().retention(hour).build().unwrap();
        let handler = Handler::default().answering("later", &[503]);
        let router = router(&inbox, &handler);
        deliver(&router, Some("k"), "one").await;
        assert_eq!(inbox.sweep(100).await.unwrap(), 0);
        deliver(&router, Some("waits"), "later").await;
        database.advance(2 * hour).await;
        assert_eq!(inbox.sweep(100).await.unwrap(), 1);
        assert_eq!(the_one(&inbox).await.state, DeliveryState::Failed);
        deliver(&router, Some("k"), "one").await;
        assert_eq!(handler.calls(), 3);
    });
}

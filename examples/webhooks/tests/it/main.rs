//! What is delivered three times runs once, on SQLite and on Postgres; and three times without the
//! inbox.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod receiver;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use self::receiver::{Connected, Receiver};

const DELIVERIES: usize = 1_000;
const TIMES: usize = 3;
const SENDERS: usize = 4;

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Plain,
    Keyless,
    Transient,
    Permanent,
}

/// 5 % have no key, 10 % fail twice, 2 % are refused.
fn kind(number: usize) -> Kind {
    match number % 100 {
        0 | 20 | 40 | 60 | 80 => Kind::Keyless,
        rest if rest % 10 == 3 => Kind::Transient,
        7 | 57 => Kind::Permanent,
        _ => Kind::Plain,
    }
}

/// The customer tells the deliveries apart where they have no key.
fn order(number: usize) -> Value {
    let mut order = json!({ "product": "chair", "customer": format!("{number:04}") });
    let (place, key) = match number % 3 {
        0 => ("idempotency_key", json!(format!("k-{number}"))),
        1 => ("messageId", json!(format!("k-{number}"))),
        _ => ("data", json!({ "messageId": format!("k-{number}") })),
    };
    if kind(number) != Kind::Keyless {
        order[place] = key;
    }
    match kind(number) {
        Kind::Transient => order["fails"] = json!(2),
        Kind::Permanent => order["product"] = json!("lamp"),
        Kind::Plain | Kind::Keyless => {}
    }
    order
}

/// Sends each delivery three times, by four senders at once; returns every status.
async fn send_all(receiver: &Receiver, deliveries: usize) -> Vec<(usize, u16)> {
    let next = Arc::new(AtomicUsize::new(0));
    let senders = (0..SENDERS).map(async |_| {
        let mut connected = receiver.connect().await;
        let mut answers = Vec::new();
        loop {
            // The three of one delivery are under way at the same time.
            let number = next.fetch_add(1, Ordering::Relaxed) / TIMES;
            if number >= deliveries {
                return answers;
            }
            let order = order(number);
            let (status, _) = connected.send("POST", "/hooks/orders", Some(&order)).await;
            answers.push((number, status));
        }
    });
    futures_util::future::join_all(senders).await.concat()
}

/// Counts the shipments of each customer.
async fn shipments(connected: &mut Connected) -> BTreeMap<usize, usize> {
    let (_, shipments) = connected.send("GET", "/shipments", None).await;
    let mut counts = BTreeMap::new();
    for shipment in shipments.as_array().unwrap() {
        let customer = shipment["customer"].as_str().unwrap().parse().unwrap();
        *counts.entry(customer).or_default() += 1;
    }
    counts
}

async fn today(connected: &mut Connected) -> Value {
    // A second day, for a test that runs at midnight.
    let (_, statistics) = connected
        .send("GET", "/operator/statistics?days=2", None)
        .await;
    let sum = |what: &str| -> u64 {
        let days = statistics["days"].as_array().unwrap().iter();
        days.map(|day| day[what].as_u64().unwrap()).sum()
    };
    let words = [
        "received",
        "keyless",
        "succeeded",
        "waiting",
        "dead",
        "retried",
    ];
    words.map(|word| (word, sum(word))).into_iter().collect()
}

async fn each_keyed_delivery_runs_once(receiver: &Receiver) {
    let began = Instant::now();
    let mut connected = receiver.connect().await;
    let answers = send_all(receiver, DELIVERIES).await;
    assert_eq!(answers.len(), DELIVERIES * TIMES);
    while today(&mut connected).await["waiting"] != 0 {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "some still wait"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let of = |wanted: Kind| (0..DELIVERIES).filter(move |number| kind(*number) == wanted);
    let refused: Vec<usize> = answers
        .iter()
        .filter(|(_, status)| !(200..300).contains(status))
        .map(|(number, status)| {
            assert_eq!(*status, 422, "{number}");
            *number
        })
        .collect();
    // The one that ran is refused, its duplicates are acknowledged.
    let mut sorted = refused;
    sorted.sort_unstable();
    assert_eq!(sorted, of(Kind::Permanent).collect::<Vec<_>>());

    let expected: BTreeMap<usize, usize> = (0..DELIVERIES)
        .filter_map(|number| match kind(number) {
            Kind::Plain | Kind::Transient => Some((number, 1)),
            Kind::Keyless => Some((number, TIMES)),
            Kind::Permanent => None,
        })
        .collect();
    assert_eq!(shipments(&mut connected).await, expected);

    let (keyless, permanent) = (of(Kind::Keyless).count(), of(Kind::Permanent).count());
    let kept = DELIVERIES + keyless * (TIMES - 1);
    let counted = today(&mut connected).await;
    assert_eq!(counted["received"], kept, "{counted}");
    assert_eq!(counted["keyless"], keyless * TIMES, "{counted}");
    assert_eq!(counted["dead"], permanent, "{counted}");
    assert_eq!(counted["succeeded"], kept - permanent, "{counted}");
    assert_eq!(counted["retried"], of(Kind::Transient).count(), "{counted}");

    let (_, letters) = connected.send("GET", "/operator/dead-letters", None).await;
    let keys: BTreeSet<&str> = letters["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| letter["key"].as_str().unwrap())
        .collect();
    let wanted: BTreeSet<String> = of(Kind::Permanent).map(|n| format!("k-{n}")).collect();
    assert_eq!(keys, wanted.iter().map(String::as_str).collect());
}

async fn a_dead_letter_is_delivered_again(receiver: &Receiver) {
    let mut connected = receiver.connect().await;
    let (_, letters) = connected.send("GET", "/operator/dead-letters", None).await;
    let letter = letters["deliveries"][0]["id"].as_str().unwrap();
    let (_, page) = connected.send("GET", "/", None).await;
    assert!(page.as_str().unwrap().contains(letter));
    let (status, _) = connected.send("PUT", "/products/lamp", None).await;
    assert_eq!(status, 204);
    let redeliver = format!("/operator/deliveries/{letter}/redeliver");
    let (status, _) = connected.send("POST", &redeliver, None).await;
    assert_eq!(status, 202);
    let began = Instant::now();
    let shown = format!("/operator/deliveries/{letter}");
    while connected.send("GET", &shown, None).await.1["state"] != "succeeded" {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it is not delivered"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, refused) = connected.send("POST", &redeliver, None).await;
    assert_eq!(
        (status, &refused["code"]),
        (409, &json!("DELIVERY_NOT_FAILED"))
    );
}

/// Runs a test with a SQLite file of its own.
fn on_sqlite(name: &str, more: &[&str], test: impl AsyncFnOnce(Receiver)) {
    let folder = format!("webhooks-{}-{name}", std::process::id());
    let folder: PathBuf = std::env::temp_dir().join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("webhooks.db");
    let arguments = [&["--file", file.to_str().unwrap()], more].concat();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(test(Receiver::start(&arguments)));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_thousand_deliveries_sent_thrice_run_once_on_sqlite() {
    on_sqlite("thousand", &[], async |receiver| {
        each_keyed_delivery_runs_once(&receiver).await;
        a_dead_letter_is_delivered_again(&receiver).await;
    });
}

#[test]
fn a_thousand_deliveries_sent_thrice_run_once_on_postgres() {
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("run `cargo xtask test`, or set TEST_DATABASE_URL to a server for tests");
    let schema = format!("webhooks_{}", std::process::id());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        sql(&url, format!("CREATE SCHEMA {schema}")).await;
        let own = format!("{url}?options=-csearch_path%3D{schema}");
        let receiver = Receiver::start(&["--database-url", &own]);
        each_keyed_delivery_runs_once(&receiver).await;
        a_dead_letter_is_delivered_again(&receiver).await;
        drop(receiver);
        sql(&url, format!("DROP SCHEMA {schema} CASCADE")).await;
    });
}

#[test]
fn without_the_inbox_duplicates_run_and_failures_are_lost() {
    on_sqlite("without", &["--danger-without-inbox"], async |receiver| {
        let deliveries = 20;
        let answers = send_all(&receiver, deliveries).await;
        let mut connected = receiver.connect().await;
        let counts = shipments(&mut connected).await;
        assert_eq!(counts[&1], TIMES);
        assert!(!counts.contains_key(&3), "{counts:?}");
        let is_refused = |(number, status): &(usize, u16)| *number == 3 && *status == 503;
        assert_eq!(answers.iter().filter(|it| is_refused(it)).count(), TIMES);
    });
}

/// Sends each delivery once, by four senders, and returns those that were answered with 2xx.
async fn send_until_it_dies(receiver: &Receiver, deliveries: usize) -> BTreeSet<usize> {
    let next = Arc::new(AtomicUsize::new(0));
    let senders = (0..SENDERS).map(async |_| {
        let mut connected = receiver.connect().await;
        let mut accepted = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number == deliveries / 2 {
                // At any instant of what the others do.
                let pid = receiver.process.id().to_string();
                let killed = Command::new("kill").args(["-9", &pid]).status();
                assert!(killed.unwrap().success());
            }
            let order = keyed_order(number);
            match connected
                .try_send("POST", "/hooks/orders", Some(&order))
                .await
            {
                Ok((status, _)) if (200..300).contains(&status) => accepted.push(number),
                Ok((status, _)) => panic!("{number} is refused: {status}"),
                Err(_) => return accepted,
            }
        }
    });
    let accepted = futures_util::future::join_all(senders).await;
    accepted.concat().into_iter().collect()
}

/// Each second one fails at first, so that it still waits when the receiver is killed.
fn keyed_order(number: usize) -> Value {
    let customer = format!("{number:04}");
    let fails = number % 2;
    json!({ "messageId": customer, "product": "chair", "customer": customer, "fails": fails })
}

#[test]
fn a_killed_receiver_loses_nothing_that_it_has_accepted() {
    on_sqlite("killed", &["--lease-ms", "400"], async |receiver| {
        let deliveries = 200;
        let accepted = send_until_it_dies(&receiver, deliveries).await;
        assert!(accepted.len() < deliveries, "it was not killed in time");
        let again = receiver.restart();
        let mut connected = again.connect().await;
        let began = Instant::now();
        while today(&mut connected).await["waiting"] != 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "some still wait");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let shipped = shipments(&mut connected).await;
        for number in &accepted {
            assert!(
                shipped.contains_key(number),
                "{number} was accepted and is lost"
            );
        }
        // What was cut off between its effect and the record of it may have run again: one for
        // each sender and each slot of the worker.
        let twice = shipped.values().filter(|times| **times > 1).count();
        assert!(twice <= SENDERS + 8, "{shipped:?}");
        // The senders come again with everything, and nothing runs again.
        for number in 0..deliveries {
            let order = keyed_order(number);
            let (status, _) = connected.send("POST", "/hooks/orders", Some(&order)).await;
            assert!((200..300).contains(&status), "{number}: {status}");
        }
        while today(&mut connected).await["waiting"] != 0 {
            assert!(began.elapsed() < Duration::from_secs(60), "some still wait");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let in_the_end = shipments(&mut connected).await;
        assert_eq!(in_the_end.len(), deliveries);
        for (number, times) in &shipped {
            assert_eq!(in_the_end[number], *times, "{number}");
        }
    });
}

#[test]
fn the_printed_lines_do_what_they_promise() {
    on_sqlite("printed", &[], async |receiver| {
        let (first, second) = (receiver.paste(0), receiver.paste(1));
        assert!(first.starts_with("HTTP/1.1 204 "), "{first}");
        assert!(second.contains("x-webhook-inbox: duplicate"), "{second}");
        assert!(receiver.paste(2).starts_with("HTTP/1.1 202 "));
        assert!(receiver.paste(3).starts_with("HTTP/1.1 422 "));
        assert!(receiver.paste(4).starts_with("HTTP/1.1 204 "));
        let began = Instant::now();
        while receiver.paste(5).matches("chair").count() != 2 {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "no second shipment"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

async fn sql(url: &str, sql: String) {
    let mut admin = PgConnection::connect(url).await.unwrap();
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
}

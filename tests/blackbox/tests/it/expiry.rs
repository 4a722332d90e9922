//! TTL: when keys are forgotten.

use std::path::Path;

use blackbox::{Fixture, StoreKind, eventually, scenarios};
use futures_util::future::{join, join_all};

scenarios! {
    [memory, sqlite, postgres]
        ttl_01_an_expired_key_runs_again,
        ttl_02_an_expired_key_takes_another_request,
        ttl_03_a_key_is_replayed_before_it_expires,
        ttl_05_sweeping_takes_expired_records_only,
        ttl_06_sweeping_disturbs_nobody;
    [sqlite, postgres]
        ttl_05_expired_records_are_swept_by_themselves;
    [postgres]
        ttl_07_the_applications_clock_does_not_matter
}

/// Also TTL-03 in passing: until it expires it is replayed.
async fn ttl_01_an_expired_key_runs_again(store: StoreKind) {
    let fixture = Fixture::start(store, &["--retention-ms", "400"]).await;
    let request = fixture.post("/uuid").key("k");
    let first = request.clone().send().await;
    eventually(|| async {
        let reply = request.clone().send().await;
        assert_eq!(reply.is_replay(), reply.body == first.body);
        reply.body != first.body
    })
    .await;
    assert_eq!(fixture.count("/uuid").await, 2);
}

async fn ttl_02_an_expired_key_takes_another_request(store: StoreKind) {
    let fixture = Fixture::start(store, &["--retention-ms", "400"]).await;
    assert!(
        fixture
            .post("/echo")
            .key("k")
            .body("a")
            .send()
            .await
            .is_stored()
    );
    let other = fixture.post("/echo").key("k").body("b");
    other
        .clone()
        .send()
        .await
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    eventually(|| async { other.clone().send().await.is_stored() }).await;
}

async fn ttl_03_a_key_is_replayed_before_it_expires(store: StoreKind) {
    let fixture = Fixture::start(store, &["--retention-ms", "60000"]).await;
    let first = fixture.post("/uuid").key("k").send().await;
    for _ in 0..3 {
        fixture
            .post("/uuid")
            .key("k")
            .send()
            .await
            .assert_replay_of(&first);
    }
}

async fn ttl_05_sweeping_takes_expired_records_only(store: StoreKind) {
    let fixture = Fixture::start(store, &["--no-sweep"]).await;
    let short = fixture
        .post("/uuid?retention_ms=200")
        .key("short")
        .send()
        .await;
    let long = fixture.post("/uuid").key("long").send().await;
    let running = tokio::spawn(fixture.post("/gate/g").key("running").send());
    fixture.at_gate("g", 1).await;
    let expired = || async { fixture.rows().await.len() == 2 };
    eventually(expired).await;
    assert_eq!(fixture.sweep().await, 1);
    assert_eq!(fixture.rows().await.len(), 2);
    fixture
        .post("/uuid")
        .key("long")
        .send()
        .await
        .assert_replay_of(&long);
    let again = fixture
        .post("/uuid?retention_ms=200")
        .key("short")
        .send()
        .await;
    assert_ne!(again.body, short.body);
    fixture.release("g").await;
    assert!(running.await.unwrap().is_stored());
}

async fn ttl_05_expired_records_are_swept_by_themselves(store: StoreKind) {
    let arguments = ["--retention-ms", "200", "--sweep-ms", "50"];
    let fixture = Fixture::start(store, &arguments).await;
    for n in 0..20 {
        let reply = fixture.post("/echo").key(format!("k-{n}")).send().await;
        assert!(reply.is_stored());
    }
    eventually(|| async { fixture.physical_rows().await == 0 }).await;
}

/// Duplicates at once, while as many records expire beside them and are swept.
async fn ttl_06_sweeping_disturbs_nobody(store: StoreKind) {
    let fixture = Fixture::start(store, &["--sweep-ms", "10"]).await;
    let kept = |key: &str| fixture.post(&format!("/v1/slow/{key}?ms=20")).key(key);
    let keys = |round| (0..5).map(move |n| format!("{round}-{n}"));
    for round in 0..5 {
        let short = (0..20).map(|n| {
            let short = fixture.post("/uuid?retention_ms=1");
            short.key(format!("short-{round}-{n}")).send()
        });
        let duplicates = keys(round).flat_map(|key| [0; 4].map(|_| kept(&key).send()));
        let (short, duplicates) = join(join_all(short), join_all(duplicates)).await;
        assert!(short.iter().all(blackbox::Reply::is_stored));
        for reply in duplicates {
            if reply.status == 201 {
                assert!(reply.is_stored() || reply.is_replay());
            } else {
                reply.assert_problem(409, "REQUEST_IN_PROGRESS");
            }
        }
    }
    for key in (0..5).flat_map(keys) {
        assert!(kept(&key).send().await.is_replay());
        assert_eq!(fixture.count(&format!("/v1/slow/{key}")).await, 1, "{key}");
    }
    if store != StoreKind::Memory {
        eventually(|| async { fixture.physical_rows().await == 25 }).await;
    }
}

/// A process whose clock is hours ahead takes nothing over and forgets nothing.
async fn ttl_07_the_applications_clock_does_not_matter(store: StoreKind) {
    if !has_faketime() {
        return;
    }
    let a = Fixture::start(store, &["--lease-ms", "30000"]).await;
    for shift in ["+300d", "-300d"] {
        let shifted = shifted_by(&a, shift).await;
        let first = a.post("/uuid").key(shift).send().await;
        shifted
            .post("/uuid")
            .key(shift)
            .send()
            .await
            .assert_replay_of(&first);

        let gate = format!("gate{}", shift.len() + usize::from(shift.starts_with('+')));
        let path = format!("/gate/{gate}");
        let running = tokio::spawn(a.post(&path).key(shift).send());
        a.at_gate(&gate, 1).await;
        let duplicate = shifted.post(&path).key(shift).send().await;
        duplicate.assert_problem(409, "REQUEST_IN_PROGRESS");
        a.release(&gate).await;
        let first = running.await.unwrap();
        shifted
            .post(&path)
            .key(shift)
            .send()
            .await
            .assert_replay_of(&first);
    }
}

/// Becomes the server, with libfaketime in it.
///
/// The library makes two files that are named by the process id, and a process that is killed
/// leaves them: where the same id comes again, the library would refuse to start.
const SHIFTED: &str = r#"
rm -f "/dev/shm/faketime_shm_$$" "/dev/shm/sem.faketime_sem_$$"
exec env LD_PRELOAD='/usr/$LIB/faketime/libfaketime.so.1' "$@"
"#;

/// Starts another process whose clock is shifted.
async fn shifted_by(fixture: &Fixture, shift: &str) -> Fixture {
    let setup = fixture.another().env("FAKETIME", shift);
    let shifted = setup
        .wrapper(&["sh", "-c", SHIFTED, "shifted"])
        .start()
        .await;
    // The process has them open, and needs their names no more: so nothing is left, however it
    // ends.
    for file in ["faketime_shm", "sem.faketime_sem"] {
        let file = format!("/dev/shm/{file}_{}", shifted.pid());
        let _ = std::fs::remove_file(&file);
        assert!(!Path::new(&file).exists(), "{file}");
    }
    shifted.post("/slow?ms=1").send().await.assert_executed(201);
    fixture.post("/slow?ms=1").send().await.assert_executed(201);
    let date = |logs: String| {
        logs.lines()
            .last()
            .unwrap_or_default()
            .chars()
            .take(10)
            .collect()
    };
    eventually(|| async {
        let (here, there): (String, String) = (date(fixture.logs()), date(shifted.logs()));
        !here.is_empty() && !there.is_empty() && here != there
    })
    .await;
    shifted
}

/// Says loudly that a scenario is left out; CI may not leave it out.
#[expect(clippy::print_stderr, reason = "whoever runs the tests has to know")]
fn has_faketime() -> bool {
    let found = std::process::Command::new("faketime")
        .arg("--version")
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !in_ci, "CI needs the package `faketime`");
    if !found {
        eprintln!("NOT TESTED: shifted clocks; install the package `faketime`");
    }
    found
}

//! What duplicates that wait ask for.

use std::sync::Arc;

use super::support::{PAST_LEASE, acquire, complete, ended, fail, request};
use crate::Harness;

/// One question tells which of many keys nobody is at work on any more.
pub async fn ended_executions_are_told_apart<H: Harness>(harness: &Arc<H>) {
    let [dead, running, done, failed, absent] =
        ["dead", "running", "done", "failed", "absent"].map(request);
    let store = harness.store();
    let _dead = acquire(store, &dead).await;
    harness.advance(PAST_LEASE).await;
    let _running = acquire(store, &running).await;
    complete(&mut acquire(store, &done).await, "done").await;
    fail(&mut acquire(store, &failed).await).await;
    let asked = [dead.id, running.id, done.id, failed.id, absent.id];
    let mut told = ended(store, &asked).await;
    told.sort_unstable();
    let mut expected = vec![dead.id, done.id, failed.id, absent.id];
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(ended(store, &[running.id]).await, []);
    assert_eq!(ended(store, &[]).await, []);
}

/// Many keys are one question, too.
pub async fn many_keys_are_asked_about_at_once<H: Harness>(harness: &Arc<H>) {
    let mut ids = Vec::new();
    let mut running = Vec::new();
    for number in 0..40 {
        let request = request(&format!("k-{number}"));
        if number % 4 == 0 {
            running.push((acquire(harness.store(), &request).await, request.id));
        }
        ids.push(request.id);
    }
    let told = ended(harness.store(), &ids).await;
    assert_eq!(told.len(), 30);
    assert!(running.iter().all(|(_, id)| !told.contains(id)));
}

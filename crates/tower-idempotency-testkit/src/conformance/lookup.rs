//! What operators read.

use std::{collections::BTreeSet, sync::Arc};

use tower_idempotency_core::{
    Completed, CrashPolicy, ListPage, RecordId, RecordInfo, RecordState, Retention, Scope, Settled,
    Store,
};

use super::support::{
    DAY, LEASE, PAST_RETENTION, acquire, complete, complete_with, execute, fail, lookup, record,
    request, request_in, response,
};
use crate::Harness;

/// Nothing is there before the first claim.
pub async fn an_absent_key_is_none<H: Harness>(harness: &Arc<H>) {
    execute(harness.store(), &request("other"), "done").await;
    assert_eq!(lookup(harness.store(), &request("k")).await, None);
}

/// A record shows whom it belongs to and how far it is.
pub async fn a_record_tells_its_life<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let scope = Scope::new("alice", "POST /payments").in_namespace("billing");
    let first = request_in(scope.clone(), "k-1");
    let mut execution = acquire(store, &first).await;

    let running = record(store, &first).await;
    assert_eq!(running.info.id, first.id);
    assert_eq!(running.info.scope, scope);
    assert_eq!(running.info.key, first.key);
    assert_eq!(running.info.fingerprint, first.fingerprint);
    assert_eq!(running.info.state, RecordState::InProgress);
    assert_eq!(running.info.attempt, 1);
    let lease_end = running.info.lease_expires_at.expect("a lease has an end");
    let lease = lease_end.duration_since(running.info.created_at);
    assert_eq!(lease.ok(), Some(LEASE));
    assert!(running.response.is_none() && running.info.ended_at.is_none());

    complete(&mut execution, "done").await;
    let ended = record(store, &first).await;
    assert_eq!(ended.info.state, RecordState::Completed);
    assert_eq!(ended.info.created_at, running.info.created_at);
    assert_eq!(ended.info.status, Some(response("done").status()));
    assert_eq!(ended.info.lease_expires_at, None);
    let ended_at = ended.info.ended_at.expect("it has ended");
    let expires_at = ended.info.expires_at.expect("it expires");
    assert_eq!(expires_at.duration_since(ended_at).ok(), Some(DAY * 7));
    assert_eq!(ended.response, Some(response("done")));
}

/// When a record counts as absent, and that some never do.
pub async fn a_record_tells_when_it_expires<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let [running, mut held, failed, eternal] =
        ["running", "held", "failed", "eternal"].map(request);
    held.crash_policy = CrashPolicy::Hold;
    let _running = acquire(store, &running).await;
    let _held = acquire(store, &held).await;
    fail(&mut acquire(store, &failed).await).await;
    let for_ever = Completed::new(response("done"), Retention::Forever);
    let settled = complete_with(&mut acquire(store, &eternal).await, &for_ever).await;
    assert_eq!(settled, Settled::Applied);

    let info = record(store, &running).await.info;
    let lease_end = info.lease_expires_at.expect("a lease has an end");
    let expires_at = info.expires_at.expect("an abandoned record expires");
    assert_eq!(expires_at.duration_since(lease_end).ok(), Some(DAY));
    let info = record(store, &failed).await.info;
    let ended_at = info.ended_at.expect("it has ended");
    let expires_at = info.expires_at.expect("a failed record expires");
    assert_eq!(expires_at.duration_since(ended_at).ok(), Some(DAY));
    for never in [&held, &eternal] {
        assert_eq!(record(store, never).await.info.expires_at, None);
    }
}

/// Operators search for keys and names as clients and programs chose them.
pub async fn unusual_keys_and_scopes_are_shown_as_they_are<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let long_key = "k".repeat(255);
    let long_name = "n".repeat(10 * 1024);
    let printable: String = (' '..='~').collect();
    for (scope, key) in [
        (Scope::new("", ""), "k"),
        (Scope::new("O'Brien \"the\" \\ %_$1?", "POST /x;--"), " k "),
        (
            Scope::new("🦀", "é").in_namespace("名前"),
            printable.as_str(),
        ),
        (Scope::new("e\u{301}", " tab\tline\n"), "K"),
        (Scope::new(long_name.as_str(), "r"), long_key.as_str()),
    ] {
        let request = request_in(scope, key);
        execute(store, &request, "done").await;
        let info = record(store, &request).await.info;
        assert!(info.scope == request.scope, "{:?}", request.scope);
        assert!(info.key == request.key, "{:?}", request.key);
    }
}

/// Pages follow each other without gaps or repetitions, in the order of the identities.
pub async fn a_list_has_pages_and_states<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let mut expected = BTreeSet::new();
    for name in ["a", "b", "c", "d", "e"] {
        let request = request(name);
        expected.insert(request.id);
        execute(store, &request, "done").await;
    }
    let running = request("running");
    let _execution = acquire(store, &running).await;
    let failed = request("failed");
    fail(&mut acquire(store, &failed).await).await;

    let in_progress = ids(store, Some(RecordState::InProgress)).await;
    assert_eq!(in_progress, [running.id]);
    assert_eq!(ids(store, Some(RecordState::Failed)).await, [failed.id]);
    let completed = ids(store, Some(RecordState::Completed)).await;
    assert!(completed.iter().eq(&expected));
    expected.extend([running.id, failed.id]);
    assert!(ids(store, None).await.iter().eq(&expected));
}

/// A list and a lookup tell the same about a record.
pub async fn a_list_shows_what_a_lookup_shows<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let _execution = acquire(store, &request("running")).await;
    execute(store, &request("completed"), "done").await;
    fail(&mut acquire(store, &request("failed")).await).await;

    let listed = list(store, &ListPage::default()).await;
    assert_eq!(listed.len(), 3);
    for info in listed {
        let found = store.lookup(&info.id).await.expect("the store answers");
        assert_eq!(found.expect("a listed record is there").info, info);
    }
}

/// The record that a page ended with may be gone when the next one is read.
pub async fn a_page_can_begin_behind_an_absent_record<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    let mut behind = BTreeSet::new();
    let middle = RecordId::from_bytes([0x80; 32]);
    for number in 0..12 {
        let request = request(&format!("k-{number}"));
        execute(store, &request, "done").await;
        if request.id > middle {
            behind.insert(request.id);
        }
    }
    let mut page = ListPage::default();
    page.after = Some(middle);
    let listed = list(store, &page).await;
    assert!(listed.iter().map(|info| &info.id).eq(&behind));
    page.after = Some(RecordId::from_bytes([0xff; 32]));
    assert!(list(store, &page).await.is_empty());
}

/// The largest limit is no error.
pub async fn a_list_may_be_asked_for_everything<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    for number in 0..120 {
        execute(store, &request(&format!("k-{number}")), "done").await;
    }
    let mut page = ListPage::default();
    assert_eq!(list(store, &page).await.len(), 100);
    page.limit = u32::MAX;
    assert_eq!(list(store, &page).await.len(), 120);
}

/// An expired record is absent for operators, too.
pub async fn expired_records_are_not_listed<H: Harness>(harness: &Arc<H>) {
    let store = harness.store();
    execute(store, &request("completed"), "done").await;
    fail(&mut acquire(store, &request("failed")).await).await;
    let _dead = acquire(store, &request("abandoned")).await;
    harness.advance(PAST_RETENTION).await;
    let live = request("live");
    execute(store, &live, "done").await;
    assert_eq!(ids(store, None).await, [live.id]);
    for state in [RecordState::InProgress, RecordState::Failed] {
        assert!(ids(store, Some(state)).await.is_empty());
    }
}

/// Reads all pages, two records at a time.
async fn ids<St: Store>(store: &St, state: Option<RecordState>) -> Vec<RecordId> {
    let mut ids: Vec<RecordId> = Vec::new();
    let mut page = ListPage::default();
    page.state = state;
    page.limit = 2;
    for _ in 0..100 {
        page.after = ids.last().copied();
        let records = list(store, &page).await;
        assert!(records.len() <= 2, "a page has at most its limit");
        if records.is_empty() {
            assert!(ids.is_sorted(), "pages are in the order of the identities");
            return ids;
        }
        ids.extend(records.iter().map(|record| record.id));
    }
    panic!("a hundred pages did not come to an end");
}

async fn list<St: Store>(store: &St, page: &ListPage) -> Vec<RecordInfo> {
    store.list(page).await.expect("the store answers")
}

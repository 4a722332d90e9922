//! What operators read.

use std::{collections::BTreeSet, sync::Arc};

use tower_idempotency_core::{
    Execution, Failure, ListPage, RecordId, RecordState, Release, Scope, Settled, Store,
};

use super::support::{DAY, LEASE, acquire, execute, record, request, request_in, response};
use crate::Harness;

/// Nothing is there before the first claim.
pub async fn an_absent_key_is_none<H: Harness>(harness: &Arc<H>) {
    let found = harness.store().lookup(&request("k").id).await;
    assert_eq!(found.expect("the store answers"), None);
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
    assert_eq!(
        lease_end.duration_since(running.info.created_at).ok(),
        Some(LEASE)
    );
    assert!(running.response.is_none() && running.info.ended_at.is_none());

    super::support::complete(&mut execution, "done").await;
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
    let mut execution = acquire(store, &failed).await;
    let release = Release::Failed(Failure::transient("status 500"));
    let settled = execution
        .release(&release)
        .await
        .expect("the store answers");
    assert_eq!(settled, Settled::Applied);

    assert_eq!(
        ids(store, Some(RecordState::InProgress)).await,
        [running.id]
    );
    assert_eq!(ids(store, Some(RecordState::Failed)).await, [failed.id]);
    let completed = ids(store, Some(RecordState::Completed)).await;
    assert_eq!(completed, expected.iter().copied().collect::<Vec<_>>());
    assert_eq!(ids(store, None).await.len(), 7);
}

/// An expired record is absent for operators, too.
pub async fn expired_records_are_not_listed<H: Harness>(harness: &Arc<H>) {
    execute(harness.store(), &request("k"), "done").await;
    harness.advance(DAY * 8).await;
    assert!(ids(harness.store(), None).await.is_empty());
}

/// Reads all pages, two records at a time.
async fn ids<St: Store>(store: &St, state: Option<RecordState>) -> Vec<RecordId> {
    let mut ids = Vec::new();
    loop {
        let mut page = ListPage::default();
        page.state = state;
        page.after = ids.last().copied();
        page.limit = 2;
        let records = store.list(&page).await.expect("the store answers");
        assert!(records.len() <= 2, "a page has at most its limit");
        if records.is_empty() {
            assert!(ids.is_sorted(), "pages are in the order of the identities");
            return ids;
        }
        ids.extend(records.iter().map(|record| record.id));
    }
}

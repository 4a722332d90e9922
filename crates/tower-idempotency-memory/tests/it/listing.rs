//! Records are listed in the order of their identities, wherever they lie.

use tower_idempotency_core::{
    ClaimRequest, Fingerprint, IdempotencyKey, ListPage, RecordId, Scope, Store,
};
use tower_idempotency_memory::MemoryStore;
use tower_idempotency_testkit::run;

#[test]
fn pages_of_any_size_have_every_record_once_and_in_order() {
    run(async {
        let store = MemoryStore::new();
        let mut claimed = Vec::new();
        for number in 0..1_000 {
            let key = IdempotencyKey::new(format!("k-{number}")).unwrap();
            let scope = Scope::new("alice", "POST /payments");
            let request = ClaimRequest::new(scope, key, Fingerprint::OFF);
            drop(store.claim(&request).await.unwrap());
            claimed.push(request.id);
        }
        claimed.sort_unstable();
        for size in [1, 7, 1_000, 2_000] {
            assert_eq!(listed(&store, size).await, claimed, "in pages of {size}");
        }
    });
}

/// Lists all records, page by page.
async fn listed(store: &MemoryStore, size: u32) -> Vec<RecordId> {
    let mut ids = Vec::new();
    let mut page = ListPage::default();
    page.limit = size;
    loop {
        let records = store.list(&page).await.unwrap();
        let Some(last) = records.last() else {
            return ids;
        };
        page.after = Some(last.id);
        ids.extend(records.iter().map(|record| record.id));
    }
}

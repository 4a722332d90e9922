//! Effect and record in one transaction that the handler is given.

use std::time::Duration;

use http::Extensions;
use sqlx::{Executor, SqliteConnection};
use tower_idempotency_core::{
    Claim, Execution, RecordId, RecordState, Release, Settled, Store, StoreErrorKind,
};
use tower_idempotency_sqlite::{
    SqliteStore, TransactionalExecution, TransactionalStore, Tx, TxError,
};
use tower_idempotency_testkit::{Harness, run};

use crate::support::{Sqlite, completed, request, sqlite};

/// The whole suite holds for the transactional mode, too: it is a lease until a handler asks.
mod conformance {
    use super::transactional;

    tower_idempotency_testkit::store_conformance!(transactional);
}

struct Transactional {
    sqlite: Sqlite,
    store: TransactionalStore,
}

async fn transactional() -> Transactional {
    let sqlite = sqlite().await;
    let store = sqlite.store.clone().transactional();
    Transactional { sqlite, store }
}

impl Harness for Transactional {
    type Store = TransactionalStore;

    fn store(&self) -> &TransactionalStore {
        &self.store
    }

    async fn advance(&self, by: Duration) {
        self.sqlite.advance(by).await;
    }

    async fn damage(&self, id: &RecordId) -> bool {
        self.sqlite.damage(id).await
    }
}

impl Transactional {
    async fn with_effects() -> Self {
        let transactional = transactional().await;
        let writer = transactional.sqlite.store.writer();
        writer
            .execute("CREATE TABLE effects (n INTEGER)")
            .await
            .unwrap();
        transactional
    }

    /// Claims a key, and returns what the handler of the request can take.
    async fn acquire(&self, key: &str) -> (TransactionalExecution, Extensions) {
        let Claim::Acquired(mut execution) = self.store.claim(&request(key)).await.unwrap() else {
            panic!("the key is free");
        };
        let mut extensions = Extensions::new();
        execution.install(&mut extensions);
        (execution, extensions)
    }

    async fn effects(&self) -> i64 {
        let second = SqliteStore::open(self.sqlite.folder.file()).await.unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM effects");
        count.fetch_one(second.writer()).await.unwrap()
    }

    async fn state(&self, key: &str) -> Option<RecordState> {
        let record = self.store.lookup(&request(key).id).await.unwrap();
        record.map(|record| record.info.state)
    }
}

async fn effect(connection: &mut SqliteConnection) {
    let insert = connection.execute("INSERT INTO effects VALUES (1)");
    insert.await.unwrap();
}

#[test]
fn effect_and_response_are_committed_together() {
    run(async {
        let transactional = Transactional::with_effects().await;
        let (mut execution, extensions) = transactional.acquire("k").await;
        let mut tx = Tx::take_from(&extensions).await.unwrap();
        effect(&mut tx).await;
        drop(tx);
        // A second look at the same transaction.
        effect(&mut Tx::take_from(&extensions).await.unwrap()).await;
        let settled = execution.complete(&completed()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        assert_eq!(transactional.effects().await, 2);
        assert_eq!(transactional.state("k").await, Some(RecordState::Completed));
        let ended = Tx::take_from(&extensions).await.unwrap_err();
        assert!(matches!(ended, TxError::Ended));
    });
}

#[test]
fn a_release_takes_the_effects_back() {
    run(async {
        let transactional = Transactional::with_effects().await;
        let (mut execution, extensions) = transactional.acquire("k").await;
        effect(&mut Tx::take_from(&extensions).await.unwrap()).await;
        let settled = execution.release(&Release::Free).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        assert_eq!(transactional.effects().await, 0);
        assert_eq!(transactional.state("k").await, None);
    });
}

#[test]
fn an_execution_that_is_dropped_leaves_no_effects() {
    run(async {
        let transactional = Transactional::with_effects().await;
        let (execution, extensions) = transactional.acquire("k").await;
        effect(&mut Tx::take_from(&extensions).await.unwrap()).await;
        drop((execution, extensions));
        assert_eq!(transactional.effects().await, 0);
        assert_eq!(
            transactional.state("k").await,
            Some(RecordState::InProgress)
        );
    });
}

#[test]
fn a_lease_that_was_lost_before_the_transaction_commits_nothing() {
    run(async {
        let transactional = Transactional::with_effects().await;
        let (mut late, extensions) = transactional.acquire("k").await;
        transactional.advance(Duration::from_secs(60)).await;
        let (mut winner, _) = transactional.acquire("k").await;
        effect(&mut Tx::take_from(&extensions).await.unwrap()).await;
        assert_eq!(late.complete(&completed()).await.unwrap(), Settled::Stale);
        assert_eq!(transactional.effects().await, 0);
        let settled = winner.complete(&completed()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
    });
}

#[test]
fn a_handler_that_keeps_its_transaction_commits_nothing() {
    run(async {
        let transactional = Transactional::with_effects().await;
        let (mut execution, extensions) = transactional.acquire("k").await;
        let mut kept = Tx::take_from(&extensions).await.unwrap();
        effect(&mut kept).await;
        let taken = Tx::take_from(&extensions).await.unwrap_err();
        assert!(matches!(taken, TxError::Taken));
        // The release waits for the writer, which the handler has: let it go meanwhile.
        let response = completed();
        let (completing, ()) = tokio::join!(execution.complete(&response), async {
            tokio::task::yield_now().await;
            drop(kept);
        });
        assert_eq!(completing.unwrap_err().kind(), StoreErrorKind::RolledBack);
        assert_eq!(transactional.effects().await, 0);
        let (_next, _) = transactional.acquire("k").await;
    });
}

#[test]
fn without_an_effect_it_is_a_lease() {
    run(async {
        let transactional = Transactional::with_effects().await;
        let (mut execution, _) = transactional.acquire("k").await;
        let settled = execution.complete(&completed()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        let absent = Tx::take_from(&Extensions::new()).await.unwrap_err();
        assert!(matches!(absent, TxError::NoTransaction));
    });
}

/// The driver counts a transaction that is not there, and could begin no other on that connection,
/// which is the only one that writes.
#[test]
fn a_transaction_that_ended_by_itself_leaves_the_writer_usable() {
    run(async {
        let transactional = Transactional::with_effects().await;
        for (key, ending, effects) in [("a", "COMMIT", 1), ("b", "ROLLBACK", 1)] {
            let (mut execution, extensions) = transactional.acquire(key).await;
            let mut tx = Tx::take_from(&extensions).await.unwrap();
            effect(&mut tx).await;
            tx.execute(ending).await.unwrap();
            drop(tx);
            let settled = execution.complete(&completed()).await.unwrap();
            assert_eq!(settled, Settled::Applied);
            assert_eq!(transactional.effects().await, effects);

            let (mut execution, extensions) = transactional.acquire("released").await;
            let mut tx = Tx::take_from(&extensions).await.unwrap();
            tx.execute(ending).await.unwrap();
            drop(tx);
            let settled = execution.release(&Release::Free).await.unwrap();
            assert_eq!(settled, Settled::Applied);
        }
        let (mut execution, extensions) = transactional.acquire("next").await;
        effect(&mut Tx::take_from(&extensions).await.unwrap()).await;
        let settled = execution.complete(&completed()).await.unwrap();
        assert_eq!(settled, Settled::Applied);
        assert_eq!(transactional.effects().await, 2);
    });
}

/// Neither the response could be kept, nor could it be seen that it is not: whoever asks again must
/// not keep it without the effect.
#[test]
fn completing_again_after_an_unknown_end_keeps_nothing_without_its_effect() {
    run(async {
        let transactional = Transactional::with_effects().await;
        let (mut execution, extensions) = transactional.acquire("k").await;
        let mut tx = Tx::take_from(&extensions).await.unwrap();
        let hide = "ALTER TABLE idempotency_keys RENAME TO hidden; COMMIT; BEGIN IMMEDIATE";
        tx.execute(sqlx::raw_sql(hide)).await.unwrap();
        effect(&mut tx).await;
        drop(tx);
        let unknown = execution.complete(&completed()).await.unwrap_err();
        assert!(!unknown.kind().is_undone());
        let show = "ALTER TABLE hidden RENAME TO idempotency_keys";
        transactional.sqlite.execute(show).await;
        let error = execution.complete(&completed()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::RolledBack);
        assert_eq!(transactional.effects().await, 0);
        assert_eq!(transactional.state("k").await, None);
    });
}

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Extensions;
use sqlx::{Postgres, Row, postgres::PgArguments, query::Query};
use tokio::time::sleep;
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Execution, LeaseToken, RecordId, RecordState, Release,
    Renewal, Retention, Settled, Standing, StepJournal, StoreError,
};

use crate::{
    batch::{Change, End},
    claim::{Begun, readable},
    fence::PostgresFence,
    place::Place,
    resolve,
    shared::Shared,
    sql::Text,
};

/// How often a renewal looks at a row that somebody else holds: for about 60 ms in all.
const LOOKS_AT_A_HELD_ROW: u32 = 5;
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Names one execution to every statement that must be its owner's.
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: RecordId,
    pub(crate) token: LeaseToken,
    /// Where the claim has put the record's row.
    place: Option<Place>,
    /// Whether this execution may have changed the row since, which gives it another place.
    has_moved: AtomicBool,
}

impl Owner {
    /// Prepares a statement whose first parameters are the identity and the token.
    pub(crate) fn query(&self, text: &Text) -> Query<'static, Postgres, PgArguments> {
        self.shared
            .query(text)
            .bind(self.id.as_bytes().to_vec())
            .bind(self.token.as_uuid())
    }

    /// Runs such a statement, and returns how many records it changed.
    async fn execute(&self, query: Query<'_, Postgres, PgArguments>) -> sqlx::Result<u64> {
        let mut connection = self.shared.begin().await?;
        let done = query.execute(&mut *connection).await;
        Ok(connection.finish(done).await?.rows_affected())
    }

    /// Notes that the record's row is about to be changed, and may be elsewhere from now on.
    pub(crate) fn moves(&self) {
        // It says nothing of other memory, and a place that is wrong costs a look-up.
        self.has_moved.store(true, Ordering::Relaxed);
    }

    fn place(&self) -> Option<Place> {
        self.place
            .filter(|_| !self.has_moved.load(Ordering::Relaxed))
    }

    /// Changes the record in a batch, if nobody holds it; returns whether that is done.
    async fn end_in_batch(&self, change: impl FnOnce() -> Change) -> sqlx::Result<bool> {
        let Some(batches) = &self.shared.batches else {
            return Ok(false);
        };
        let end = End {
            id: self.id,
            token: self.token,
            place: self.place(),
            change: change(),
        };
        batches.end(end).await
    }

    /// Says where this execution's record is; `None` if it is no longer this execution's.
    async fn state(&self) -> sqlx::Result<Option<String>> {
        let mut connection = self.shared.begin().await?;
        let query = self.query(&self.shared.sql.state_of);
        let row = query.fetch_optional(&mut *connection).await;
        let row = connection.finish(row).await?;
        row.map(|row| row.try_get("state")).transpose()
    }

    pub(crate) async fn standing(&self) -> sqlx::Result<Standing> {
        Ok(Standing::of(self.state().await?.as_deref()))
    }
}

/// Binds retention and response, as all statements that keep one have them.
pub(crate) fn bind_response<'q>(
    query: Query<'q, Postgres, PgArguments>,
    completed: &'q Completed,
) -> Query<'q, Postgres, PgArguments> {
    let response = &completed.response;
    query
        .bind(completed.retention.milliseconds())
        .bind(i16::try_from(response.status().as_u16()).unwrap_or(i16::MAX))
        .bind(response.head())
        .bind(response.body().map(AsRef::<[u8]>::as_ref))
}

/// The lease on a record of a [`PostgresStore`](crate::PostgresStore).
///
/// It holds no connection.
pub struct PostgresExecution {
    owner: Arc<Owner>,
    attempt: Attempt,
    lease_ms: Option<i64>,
    abandoned_ms: Option<i64>,
    failed_ms: Option<i64>,
}

impl PostgresExecution {
    pub(crate) fn new(shared: Arc<Shared>, request: &ClaimRequest, begun: Begun) -> Self {
        let owner = Owner {
            shared,
            id: request.id,
            token: request.token,
            place: begun.place,
            has_moved: AtomicBool::new(false),
        };
        Self {
            owner: Arc::new(owner),
            attempt: begun.attempt,
            lease_ms: Retention::For(request.lease).milliseconds(),
            abandoned_ms: request.abandoned_retention().milliseconds(),
            failed_ms: request.failed_retention.milliseconds(),
        }
    }

    /// Renews, and looks again while somebody else holds the row.
    ///
    /// A takeover holds it for moments, and what it does shows only when it has committed.
    /// Whoever holds it longer is a transaction that this execution completes itself in,
    /// and then it cannot be lost at present.
    async fn renew_once(&self) -> sqlx::Result<Renewal> {
        self.owner.moves();
        let renew = || Change::Renew {
            lease_ms: self.lease_ms,
            abandoned_ms: self.abandoned_ms,
        };
        if self.owner.end_in_batch(renew).await? {
            return Ok(Renewal::Renewed);
        }
        for look in 0..LOOKS_AT_A_HELD_ROW {
            let renew = self.owner.query(&self.owner.shared.sql.renew);
            let renew = renew.bind(self.lease_ms).bind(self.abandoned_ms);
            if self.owner.execute(renew).await? == 1 {
                return Ok(Renewal::Renewed);
            }
            if self.owner.standing().await? != Standing::InProgress {
                return Ok(Renewal::Lost);
            }
            sleep(FIRST_LOOK_AGAIN * 2_u32.pow(look)).await;
        }
        Ok(Renewal::Renewed)
    }

    async fn complete_once(&self, completed: &Arc<Completed>) -> sqlx::Result<Settled> {
        let complete = || Change::Complete(Arc::clone(completed));
        if self.owner.end_in_batch(complete).await? {
            return Ok(Settled::Applied);
        }
        // In a box, as what is below: every request has the future of the usual way on the heap.
        Box::pin(self.complete_alone(completed)).await
    }

    async fn complete_alone(&self, completed: &Completed) -> sqlx::Result<Settled> {
        let complete = self.owner.query(&self.owner.shared.sql.complete);
        let changed = self
            .owner
            .execute(bind_response(complete, completed))
            .await?;
        self.settled(changed, RecordState::Completed).await
    }

    async fn release_once(&self, release: &Release) -> sqlx::Result<Settled> {
        let change = || match release {
            Release::Failed(failure) => Change::Fail {
                kept_ms: self.failed_ms,
                failure: failure.clone(),
            },
            Release::Free => Change::Free,
        };
        if self.owner.end_in_batch(change).await? {
            return Ok(Settled::Applied);
        }
        Box::pin(self.release_alone(release)).await
    }

    async fn release_alone(&self, release: &Release) -> sqlx::Result<Settled> {
        let sql = &self.owner.shared.sql;
        let query = match release {
            Release::Failed(failure) => self
                .owner
                .query(&sql.fail)
                .bind(self.failed_ms)
                .bind(failure.category.as_str())
                .bind(readable(&failure.error).into_owned()),
            Release::Free => self.owner.query(&sql.free),
        };
        let changed = self.owner.execute(query).await?;
        if changed == 0 && *release == Release::Free {
            // An earlier try may have done it: a key that is free is as asked.
            return Ok(
                match resolve::find(&self.owner.shared, &self.owner.id).await? {
                    None => Settled::Applied,
                    Some(_) => Settled::Stale,
                },
            );
        }
        self.settled(changed, RecordState::Failed).await
    }

    /// Reads the result of a statement that was to bring the record into `state`.
    ///
    /// If it changed nothing, an earlier try whose acknowledgement was lost may have.
    async fn settled(&self, changed: u64, state: RecordState) -> sqlx::Result<Settled> {
        if changed == 1 || self.owner.state().await?.as_deref() == Some(state.as_str()) {
            Ok(Settled::Applied)
        } else {
            Ok(Settled::Stale)
        }
    }
}

impl fmt::Debug for PostgresExecution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresExecution")
            .field("id", &self.owner.id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Execution for PostgresExecution {
    fn attempt(&self) -> Attempt {
        self.attempt
    }

    fn install(&mut self, extensions: &mut Extensions) {
        extensions.insert(PostgresFence(Arc::clone(&self.owner)));
    }

    fn steps(&self) -> StepJournal {
        StepJournal::new(Arc::clone(&self.owner))
    }

    async fn standing(&mut self) -> Result<Standing, StoreError> {
        Box::pin(self.owner.shared.bounded(|| self.owner.standing())).await
    }

    async fn renew(&mut self) -> Result<Renewal, StoreError> {
        Box::pin(self.owner.shared.bounded(|| self.renew_once())).await
    }

    async fn complete(&mut self, completed: &Completed) -> Result<Settled, StoreError> {
        let completed = Arc::new(completed.clone());
        let complete = || self.complete_once(&completed);
        Box::pin(self.owner.shared.bounded(complete)).await
    }

    async fn release(&mut self, release: &Release) -> Result<Settled, StoreError> {
        let release = || self.release_once(release);
        Box::pin(self.owner.shared.bounded(release)).await
    }
}

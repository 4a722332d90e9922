//! Ending a transaction, and finding out how it ended.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{sleep, timeout};
use tower_idempotency_core::{
    Completed, Failure, RecordState, Release, Settled, StoreError, StoreErrorKind,
};

use super::{execution::Owner, open::OpenTransaction};
use crate::{
    claim::readable, connection::Connection, error, execution::bind_response, sql::lock_number,
};

/// How a transaction that was to be committed ended, if it was not undone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// Effect and response are durable.
    Committed,
    /// Somebody else's record is there; everything was rolled back.
    Stale,
}

/// Keeps the response in the transaction, and commits.
///
/// # Errors
///
/// Of a kind that is undone, or `CommitUnknown`.
pub(crate) async fn complete(
    owner: &Owner,
    open: Option<OpenTransaction>,
    completed: &Completed,
) -> Result<Ending, StoreError> {
    let Some(mut open) = open else {
        let why = "the handler has not given its transaction back: drop `Tx` before answering";
        return Err(StoreError::new(StoreErrorKind::RolledBack, why));
    };
    if open.has_savepoint() {
        roll_back(owner, open).await;
        let why = "the handler has left a savepoint open: commit it, roll it back or drop it";
        return Err(StoreError::new(StoreErrorKind::RolledBack, why));
    }
    let bound = owner.transactional.shared.operation_timeout;
    let kept = timeout(bound, keep(owner, &mut open, completed)).await;
    match kept.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok(true) => commit(owner, open, bound).await,
        Ok(false) => {
            roll_back(owner, open).await;
            Ok(Ending::Stale)
        }
        Err(error) if !open.met_another && error::is_aborted(&error) && says_no(completed) => {
            roll_back(owner, open).await;
            keep_refusal(owner, completed).await
        }
        Err(error) => Err(undone(owner, open, error).await),
    }
}

async fn commit(
    owner: &Owner,
    mut open: OpenTransaction,
    bound: Duration,
) -> Result<Ending, StoreError> {
    match open.commit(bound).await {
        Ok(()) => Ok(Ending::Committed),
        Err(error) if error::is_refusal(&error) => Err(undone(owner, open, error).await),
        Err(error) => Err(StoreError::new(StoreErrorKind::CommitUnknown, error)),
    }
}

/// Tells whether a response refuses, so that it is right without any effect.
fn says_no(completed: &Completed) -> bool {
    let status = completed.response.status();
    status.is_client_error() || status.is_server_error()
}

/// Keeps a refusal whose transaction could only be rolled back, since a statement in it had failed:
/// a unique violation, say, that the handler answers with 409.
///
/// The key's lock went with the transaction. If somebody else has it now, the refusal is not kept,
/// and its client can ask again.
async fn keep_refusal(owner: &Owner, completed: &Completed) -> Result<Ending, StoreError> {
    let bound = owner.transactional.shared.operation_timeout;
    let id = &owner.request.id;
    let kept = async {
        let mark = owner.request.token;
        let (mut open, seen) = OpenTransaction::begin(&owner.transactional, id, mark).await?;
        let kept = if seen.ours {
            Some(try_to_keep(owner, &mut open, completed).await?)
        } else {
            None
        };
        Ok((open, kept))
    };
    let kept = timeout(bound, kept).await;
    match kept.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        Ok((open, Some(true))) => commit(owner, open, bound).await,
        Ok((open, kept)) => {
            roll_back(owner, open).await;
            kept.map_or(Err(StoreErrorKind::RolledBack.into()), |_| {
                Ok(Ending::Stale)
            })
        }
        Err(error) => Err(StoreError::new(StoreErrorKind::RolledBack, error)),
    }
}

/// Keeps the response, if the key is still free for it.
async fn keep(
    owner: &Owner,
    open: &mut OpenTransaction,
    completed: &Completed,
) -> sqlx::Result<bool> {
    if try_to_keep(owner, open, completed).await? {
        return Ok(true);
    }
    let mark = owner.request.token.as_uuid().to_string();
    let found: Option<String> =
        sqlx::query_scalar("SELECT current_setting('tower_idempotency.token', true)")
            .persistent(false)
            .fetch_one(&mut *open.connection())
            .await?;
    if found.as_deref() == Some(&mark) {
        return Ok(false);
    }
    // Its effects are durable or gone; the response is kept so that they are not repeated.
    tracing::error!(
        record = %owner.request.id,
        "a handler ended its transaction by itself: its effects are not protected from a crash"
    );
    let begin = format!("BEGIN; SELECT set_config('tower_idempotency.token', '{mark}', true)");
    open.connection()
        .execute(sqlx::raw_sql(AssertSqlSafe(begin)))
        .await?;
    try_to_keep(owner, open, completed).await
}

async fn try_to_keep(
    owner: &Owner,
    open: &mut OpenTransaction,
    completed: &Completed,
) -> sqlx::Result<bool> {
    let sql = &owner.transactional.shared.sql;
    let query = bind_response(owner.query(&sql.keep_in_transaction), completed);
    let kept = owner
        .bind_record(query)
        .execute(&mut *open.connection())
        .await?;
    Ok(kept.rows_affected() == 1)
}

/// Rolls back, and records the failure for inspection.
///
/// The record is a courtesy: what counts is that the effects are gone and the key is free.
pub(crate) async fn release(
    owner: &Owner,
    open: OpenTransaction,
    release: &Release,
) -> Result<Settled, StoreError> {
    let met_another = open.met_another;
    let Some(connection) = owner.roll_back(open).await else {
        return Ok(Settled::Applied);
    };
    if met_another {
        let mut connection = connection;
        connection.done();
        return Err(StoreErrorKind::Conflict.into());
    }
    let noted = async {
        match release {
            Release::Failed(failure) => note_failure(owner, connection, failure).await,
            Release::Free if owner.may_have_record() => forget(owner, connection).await,
            Release::Free => connection.finish(Ok(())).await,
        }
    };
    let bound = owner.transactional.shared.operation_timeout;
    let noted = timeout(bound, noted).await;
    if let Err(error) = noted.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
        let error = error::store_error(error);
        tracing::debug!(record = %owner.request.id, %error, "a failure was not recorded");
    }
    Ok(Settled::Applied)
}

impl Owner {
    async fn roll_back(&self, open: OpenTransaction) -> Option<Connection> {
        open.roll_back(self.transactional.shared.operation_timeout)
            .await
    }
}

async fn roll_back(owner: &Owner, open: OpenTransaction) {
    if let Some(mut connection) = owner.roll_back(open).await {
        connection.done();
    }
}

async fn note_failure(
    owner: &Owner,
    connection: Connection,
    failure: &Failure,
) -> sqlx::Result<()> {
    let shared = &owner.transactional.shared;
    let mut connection = connection.again(shared.pooling).await?;
    let query = owner
        .query(&shared.sql.note_failure)
        .bind(owner.request.failed_retention.milliseconds())
        .bind(failure.category.as_str())
        .bind(readable(&failure.error));
    let query = owner
        .bind_record(query)
        .bind(None::<String>)
        .bind(lock_number(&owner.request.id));
    let noted = query.execute(&mut *connection).await.map(drop);
    connection.finish(noted).await
}

async fn forget(owner: &Owner, connection: Connection) -> sqlx::Result<()> {
    let shared = &owner.transactional.shared;
    let mut connection = connection.again(shared.pooling).await?;
    let query = owner
        .query(&shared.sql.forget)
        .bind(owner.seen.map(|token| token.as_uuid()));
    let forgotten = query.execute(&mut *connection).await.map(drop);
    connection.finish(forgotten).await
}

/// Finds out how a transaction ended whose commit was not answered.
///
/// As long as it may still be committed it holds the key's lock. Once the lock can be had, what the
/// record says is final.
///
/// # Errors
///
/// `CommitUnknown` if that was not to be found out in time; `RolledBack` if nothing is there.
pub(crate) async fn find_out(owner: &Owner) -> Result<Ending, StoreError> {
    let bound = owner.transactional.shared.operation_timeout;
    let ended = async {
        let mut pause = Duration::from_millis(10);
        loop {
            match look(owner).await {
                Ok(Some(ending)) => return ending,
                Ok(None) | Err(_) => sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    };
    timeout(bound, ended)
        .await
        .unwrap_or_else(|_| Err(StoreErrorKind::CommitUnknown.into()))
}

/// Looks at the record under the key's lock; `None` if somebody holds the lock.
async fn look(owner: &Owner) -> sqlx::Result<Option<Result<Ending, StoreError>>> {
    let id = &owner.request.id;
    let (open, seen) = OpenTransaction::begin_to_look(&owner.transactional, id).await?;
    roll_back(owner, open).await;
    if !seen.ours {
        return Ok(None);
    }
    Ok(Some(match seen.record {
        Some(record) if record.state != Some(RecordState::Completed) || record.expired => {
            Err(StoreErrorKind::RolledBack.into())
        }
        Some(record) if record.token == owner.request.token => Ok(Ending::Committed),
        Some(_) => Ok(Ending::Stale),
        None => Err(StoreErrorKind::RolledBack.into()),
    }))
}

/// Says what an error means for a transaction that is certainly not committed, and ends it.
///
/// If a statement of the handler's has met another transaction, every later error only says that
/// the transaction is broken.
async fn undone(owner: &Owner, open: OpenTransaction, error: sqlx::Error) -> StoreError {
    let kind = if open.met_another || error::is_conflict(&error) {
        StoreErrorKind::Conflict
    } else {
        StoreErrorKind::RolledBack
    };
    // If the connection can still be used, the key is free when the caller comes again at once;
    // otherwise it is when the server notices that the connection was closed.
    if error::is_refusal(&error) {
        roll_back(owner, open).await;
    }
    StoreError::new(kind, error)
}

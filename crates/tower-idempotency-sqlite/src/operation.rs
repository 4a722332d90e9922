//! What is done with a record, alone or among others in one transaction.

use std::sync::{Arc, Weak};

use sqlx::{
    Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteQueryResult},
};
use tower_idempotency_core::{
    Attempt, ClaimRequest, Completed, Failure, LeaseToken, RawClaim, RecordId, Retention, Takeable,
};

use crate::{row, sql};

/// A change that goes with others into one commit.
///
/// Each is one statement that writes: SQLite undoes a statement that fails, and keeps the rest of
/// the transaction.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Nobody wants the key any more once its caller has gone.
    Claim(Weak<ClaimRequest>),
    TakeOver {
        request: Weak<ClaimRequest>,
        seen: LeaseToken,
        because: Takeable,
    },
    End(End),
}

/// What an execution does with its record.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) id: RecordId,
    pub(crate) token: LeaseToken,
    pub(crate) change: Change,
}

#[derive(Debug)]
pub(crate) enum Change {
    Complete(Arc<Completed>),
    Fail {
        kept_ms: Option<i64>,
        failure: Failure,
    },
    Renew {
        lease_ms: Option<i64>,
        abandoned_ms: Option<i64>,
    },
    Free,
}

/// What an operation came to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The claim made the record.
    Made,
    /// The record that the claim found in its place.
    Found(RawClaim),
    TakenOver(Attempt),
    Changed,
    /// The record is not, or no longer, what the operation is for; or nobody waits for it.
    Unchanged,
}

impl Operation {
    /// Runs the operation, in whatever transaction the connection has.
    pub(crate) async fn run(&self, connection: &mut SqliteConnection) -> sqlx::Result<Answer> {
        match self {
            Self::Claim(request) => match request.upgrade() {
                Some(request) => claim(connection, &request).await,
                None => Ok(Answer::Unchanged),
            },
            Self::TakeOver {
                request,
                seen,
                because,
            } => match request.upgrade() {
                Some(request) => take_over(connection, &request, *seen, *because).await,
                None => Ok(Answer::Unchanged),
            },
            Self::End(end) => {
                let done = end.query().execute(connection).await?;
                Ok(changed(&done))
            }
        }
    }

    /// Returns about how many bytes the operation adds to a transaction.
    pub(crate) fn weight(&self) -> usize {
        /// Digests, tokens, times and names.
        const FIXED: usize = 500;
        let response = match self {
            Self::End(End {
                change: Change::Complete(completed),
                ..
            }) => completed.response.size_bytes(),
            Self::Claim(_) | Self::TakeOver { .. } | Self::End(_) => 0,
        };
        FIXED + response
    }
}

fn changed(done: &SqliteQueryResult) -> Answer {
    match done.rows_affected() {
        0 => Answer::Unchanged,
        _ => Answer::Changed,
    }
}

async fn claim(connection: &mut SqliteConnection, request: &ClaimRequest) -> sqlx::Result<Answer> {
    let fingerprint = request.fingerprint.to_bytes();
    let inserted = sqlx::query(sql::INSERT)
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_bytes().as_slice())
        .bind(fingerprint.as_slice())
        .bind(request.scope.namespace())
        .bind(request.scope.principal())
        .bind(request.scope.route())
        .bind(request.key.as_str())
        .bind(Retention::For(request.lease).milliseconds())
        .bind(request.abandoned_retention().milliseconds())
        .execute(&mut *connection)
        .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Answer::Made);
    }
    let find = sqlx::query(sql::FIND).bind(request.id.as_bytes().as_slice());
    match find.fetch_optional(connection).await? {
        Some(found) => row::claim(&found).map(Answer::Found),
        // Without a transaction around them, somebody may give the key up between the two.
        None => Ok(Answer::Unchanged),
    }
}

async fn take_over(
    connection: &mut SqliteConnection,
    request: &ClaimRequest,
    seen: LeaseToken,
    because: Takeable,
) -> sqlx::Result<Answer> {
    let fingerprint = request.fingerprint.to_bytes();
    let row = sqlx::query(sql::TAKE_OVER)
        .bind(request.id.as_bytes().as_slice())
        .bind(request.token.as_bytes().as_slice())
        .bind(fingerprint.as_slice())
        .bind(seen.as_bytes().as_slice())
        .bind(because.as_str())
        .bind(Retention::For(request.lease).milliseconds())
        .bind(request.abandoned_retention().milliseconds())
        .fetch_optional(connection)
        .await?;
    let attempt = row.as_ref().map(row::attempt).transpose()?;
    Ok(attempt.map_or(Answer::Unchanged, Answer::TakenOver))
}

impl End {
    fn query(&self) -> Query<'_, Sqlite, SqliteArguments> {
        let owned = |sql| {
            sqlx::query(sql)
                .bind(self.id.as_bytes().as_slice())
                .bind(self.token.as_bytes().as_slice())
        };
        match &self.change {
            Change::Complete(completed) => complete(&self.id, &self.token, completed),
            Change::Fail { kept_ms, failure } => owned(sql::FAIL)
                .bind(*kept_ms)
                .bind(failure.category.as_str())
                .bind(&*failure.error),
            Change::Renew {
                lease_ms,
                abandoned_ms,
            } => owned(sql::RENEW).bind(*lease_ms).bind(*abandoned_ms),
            Change::Free => owned(sql::FREE),
        }
    }
}

/// Keeps a response, if the owner still is.
pub(crate) fn complete<'q>(
    id: &'q RecordId,
    token: &'q LeaseToken,
    completed: &'q Completed,
) -> Query<'q, Sqlite, SqliteArguments> {
    let response = &completed.response;
    sqlx::query(sql::COMPLETE)
        .bind(id.as_bytes().as_slice())
        .bind(token.as_bytes().as_slice())
        .bind(completed.retention.milliseconds())
        .bind(response.status().as_u16())
        .bind(response.head())
        .bind(response.body().map(AsRef::<[u8]>::as_ref))
}

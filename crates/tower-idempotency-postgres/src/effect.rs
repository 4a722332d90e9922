//! A handler's effect that is one statement.

use std::fmt;

use sqlx::{AssertSqlSafe, Execute, Postgres, SqlStr, postgres::PgArguments, query::Query};
use sqlx_core::arguments::Arguments;
use tower_idempotency_core::{Completed, FencedCommit, Settled, StoreError, StoreErrorKind};

use crate::{
    error,
    execution::bind_response,
    fence::{PostgresFence, commit_error},
    sql::{LOST, OTHER_ROWS, Rows},
};

/// A handler's effect that is one statement: it goes to the server together with the completion of
/// the record, and both are committed in one round trip.
///
/// Give it to `Idempotency::complete_and_commit` in the place of a transaction. It is as safe: if
/// another execution has the key by now, or anything else fails, neither is committed.
/// It runs on a connection of the store's pool, under the time-outs that are set there
/// ([`connect`](crate::PostgresStore::connect) sets some), and needs none of the handler's own.
///
/// Choose it where a handler writes with one statement and knows its response beforehand; it spares
/// such a request the messages for `BEGIN` and `COMMIT`. Choose a transaction where there are
/// several statements, or where the response is made of what they return.
///
/// The statement is an `INSERT`, `UPDATE` or `DELETE` without `RETURNING`. It has to change a row:
/// if it finds none, nothing is committed, and the handler gets an error of the kind
/// [`NoEffect`](StoreErrorKind::NoEffect), to answer as it sees fit; the key is given up then, as
/// it is after a transaction that was rolled back.
/// [`exactly`](Self::exactly) and [`any_number`](Self::any_number) change that.
///
/// Other errors have the driver's as their source: a violated constraint, say.
///
/// # Example
///
/// ```
/// use axum::http::{Response, StatusCode};
/// use tower_idempotency::{CompleteInError, Idempotency, StoreErrorKind};
/// use tower_idempotency_postgres::Effect;
///
/// async fn withdraw(idempotency: Idempotency) -> Result<Response<String>, StatusCode> {
///     let statement = sqlx::query(
///         "UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1",
///     );
///     let effect = Effect::new(statement.bind(100_i64).bind(7_i64)).exactly(1);
///     let response = Response::new("withdrawn".to_owned());
///     match idempotency.complete_and_commit(effect, &response).await {
///         Ok(()) => Ok(response),
///         Err(CompleteInError::Store(error)) if error.kind() == StoreErrorKind::NoEffect => {
///             Err(StatusCode::UNPROCESSABLE_ENTITY)
///         }
///         Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(withdraw));
/// ```
#[must_use = "nothing is sent before it is given to `complete_and_commit`"]
pub struct Effect {
    sql: SqlStr,
    arguments: PgArguments,
    /// What could not be encoded, said when it is to be sent.
    unencodable: Option<Box<dyn std::error::Error + Send + Sync>>,
    is_persistent: bool,
    rows: Rows,
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effect")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Effect {
    /// Takes a statement with its arguments, as [`sqlx::query()`] or a
    /// [`QueryBuilder`](sqlx::QueryBuilder) makes it.
    pub fn new<'q>(mut statement: impl Execute<'q, Postgres>) -> Self {
        let is_persistent = statement.persistent();
        let (arguments, unencodable) = match statement.take_arguments() {
            Ok(arguments) => (arguments.unwrap_or_default(), None),
            Err(error) => (PgArguments::default(), Some(error)),
        };
        Self {
            sql: statement.sql(),
            arguments,
            unencodable,
            is_persistent,
            rows: Rows::Some,
        }
    }

    /// Commits only if the statement changes exactly so many rows. Default: one or more.
    pub fn exactly(mut self, rows: u64) -> Self {
        // More than that is in no table, so it is never met either.
        self.rows = Rows::Exactly(i64::try_from(rows).unwrap_or(i64::MAX));
        self
    }

    /// Commits whether the statement changes any rows or not: for `ON CONFLICT DO NOTHING`, say.
    pub fn any_number(mut self) -> Self {
        self.rows = Rows::Any;
        self
    }

    /// Binds what completes the record behind the handler's own arguments.
    fn with_completion<'q>(
        self,
        fence: &PostgresFence,
        completed: &'q Completed,
    ) -> Result<Query<'q, Postgres, PgArguments>, StoreError> {
        let internal = |error| StoreError::new(StoreErrorKind::Internal, error);
        if let Some(error) = self.unencodable {
            return Err(internal(error));
        }
        let effect = one_that_writes(self.sql.as_str()).map_err(|why| internal(why.into()))?;
        let owner = &fence.0;
        let shared = &owner.shared;
        let sql = shared.sql.effect(effect, self.arguments.len(), self.rows);
        let query = sqlx::query_with(AssertSqlSafe(sql), self.arguments)
            .persistent(self.is_persistent && !shared.pooling.needs_transactions())
            .bind(owner.id.as_bytes().to_vec())
            .bind(owner.token.as_uuid());
        let query = bind_response(query, completed);
        Ok(match self.rows {
            Rows::Exactly(number) => query.bind(number),
            Rows::Some | Rows::Any => query,
        })
    }
}

impl FencedCommit<PostgresFence> for Effect {
    async fn complete_and_commit(
        self,
        fence: &PostgresFence,
        completed: &Completed,
    ) -> Result<Settled, StoreError> {
        let query = self.with_completion(fence, completed)?;
        let begun = fence.0.shared.begin().await;
        let mut connection = begun.map_err(error::store_error)?;
        let done = query.execute(&mut *connection).await;
        match connection.finish(done).await {
            Ok(_) => Ok(Settled::Applied),
            Err(error) if error::says(&error, LOST) => Ok(Settled::Stale),
            Err(error) if error::says(&error, OTHER_ROWS) => Err(StoreErrorKind::NoEffect.into()),
            Err(error) => Err(commit_error(error)),
        }
    }
}

/// Returns the statement without what may stand at its end, if it is one that the server carries
/// out as a part of another one. A `SELECT` that nobody reads it would leave out.
fn one_that_writes(sql: &str) -> Result<&str, &'static str> {
    let statement = sql.trim().trim_end_matches(';').trim_end();
    let word = without_comments(statement)
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    let writes = ["insert", "update", "delete"];
    if writes.iter().any(|one| word.eq_ignore_ascii_case(one)) {
        return Ok(statement);
    }
    Err("an effect is one INSERT, UPDATE or DELETE: for anything else use a transaction")
}

/// Passes by the comments that stand before a statement.
fn without_comments(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    loop {
        let comment_ends = if rest.starts_with("--") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else {
            return rest;
        };
        rest = comment_ends.map_or("", |end| rest[end..].trim_start());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_writes_is_taken() {
        for (sql, taken) in [
            (" INSERT INTO t VALUES (1);\n", "INSERT INTO t VALUES (1)"),
            ("update t set n = 1", "update t set n = 1"),
            ("-- why\nDELETE FROM t", "-- why\nDELETE FROM t"),
            ("/* a; b */ Delete from t ;", "/* a; b */ Delete from t"),
        ] {
            assert_eq!(one_that_writes(sql), Ok(taken));
        }
        for sql in [
            "",
            "-- INSERT",
            "/* INSERT",
            "SELECT write()",
            "WITH t AS (SELECT 1) INSERT INTO u SELECT * FROM t",
            "inserted",
        ] {
            assert!(one_that_writes(sql).is_err(), "{sql}");
        }
    }
}

//! Binds a batch's parameters, and reads its result.

use std::collections::HashSet;

use sqlx::{
    PgConnection, Postgres, Row,
    postgres::{PgArguments, PgBindIterExt, PgRow, types::PgInterval},
    query::Query,
};
use tower_idempotency_core::{ClaimRequest, RawClaim, RecordState, Retention};

use super::operation::{Answer, Change, End, Operation};
use crate::{
    claim::{self, Found, readable},
    execution::bind_response,
    place::Place,
    row,
    sql::{Sql, Text},
};

/// Where the answers go: the operations of a batch, in the order of their identities.
struct Sorted<'a> {
    /// Claims of the same record are next to each other; the first one goes to the server.
    claims: Vec<(usize, &'a ClaimRequest)>,
    ends: Vec<(usize, &'a End)>,
}

/// What the ends of a batch are.
enum Ends {
    None,
    /// What they nearly always are: completions of rows whose places are known.
    Completions,
    Mixed,
}

/// Runs a batch of claims and ends in one statement.
pub(super) async fn run(
    connection: &mut PgConnection,
    sql: &Sql,
    is_persistent: bool,
    batch: &[Operation],
) -> sqlx::Result<Vec<Answer>> {
    let query = |text: &Text| sqlx::query(text.clone()).persistent(is_persistent);
    if let [operation] = batch
        && let Some(answer) = run_alone(connection, sql, query, operation).await
    {
        return answer.map(|answer| vec![answer]);
    }
    let sorted = Sorted::new(batch);
    let asked = sorted.asked();
    let ends = &sorted.ends;
    let query = match (asked.is_empty(), sorted.kind_of_ends()) {
        (_, Ends::None) => bind_claims(query(&sql.claims), &asked).bind(may_relax(batch)),
        (true, Ends::Completions) => bind_completions(query(&sql.completions), ends),
        (true, Ends::Mixed) => bind_ends(query(&sql.ends), ends),
        (false, Ends::Completions) => {
            let query = bind_claims(query(&sql.claims_and_completions), &asked);
            bind_completions(query, ends)
        }
        (false, Ends::Mixed) => {
            let query = bind_claims(query(&sql.claims_and_ends), &asked);
            bind_ends(query, ends)
        }
    };
    let rows = query.fetch_all(connection).await?;
    sorted.answers(&asked, &rows)
}

/// Runs one of the usual operations by the statement for one, which costs the server less.
async fn run_alone(
    connection: &mut PgConnection,
    sql: &Sql,
    query: impl Fn(&Text) -> PgQuery<'static>,
    operation: &Operation,
) -> Option<sqlx::Result<Answer>> {
    match operation {
        Operation::Claim {
            request,
            durable: true,
        } => {
            let found = claim::insert_or_find(connection, sql, query, request).await;
            Some(match found {
                Err(error) if !is_unreadable(&error) => Err(error),
                found => Ok(Answer::Claimed(found)),
            })
        }
        Operation::End(End {
            id,
            token,
            place,
            change: Change::Complete(completed),
        }) => {
            let query = match place {
                Some(place) => query(&sql.complete_there).bind(place.to_string()),
                None => query(&sql.complete_unheld).bind(id.as_bytes().to_vec()),
            };
            let query = bind_response(query.bind(token.as_uuid()), completed);
            let done = query.execute(connection).await;
            Some(done.map(|done| Answer::Ended(done.rows_affected() == 1)))
        }
        Operation::Claim { .. } | Operation::TakeOver { .. } | Operation::End(_) => None,
    }
}

/// Tells whether the server did what it was asked, and its answer makes no sense.
const fn is_unreadable(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
    )
}

/// Tells whether the commit may be left to the server's background: only if that is all the same
/// to everybody.
fn may_relax(batch: &[Operation]) -> bool {
    !batch.iter().any(Operation::is_durable)
}

type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

fn bind_claims<'q>(query: PgQuery<'q>, asked: &'q [&'q ClaimRequest]) -> PgQuery<'q> {
    let each = || asked.iter().copied();
    query
        .bind(
            each()
                .map(|claim| claim.id.as_bytes().as_slice())
                .bind_iter(),
        )
        .bind(each().map(|claim| claim.token.as_uuid()).bind_iter())
        .bind(each().map(|claim| claim.fingerprint.to_bytes()).bind_iter())
        .bind(
            each()
                .map(|claim| readable(claim.scope.namespace()))
                .bind_iter(),
        )
        .bind(
            each()
                .map(|claim| readable(claim.scope.principal()))
                .bind_iter(),
        )
        .bind(
            each()
                .map(|claim| readable(claim.scope.route()))
                .bind_iter(),
        )
        .bind(each().map(|claim| claim.key.as_str()).bind_iter())
        .bind(each().map(|claim| interval(lease_ms(claim))).bind_iter())
        .bind(each().map(|claim| interval(life_ms(claim))).bind_iter())
        .bind(
            each()
                .map(|claim| interval(claim.retention.milliseconds().or_else(|| life_ms(claim))))
                .bind_iter(),
        )
}

/// Written so, a time costs the server an addition.
fn interval(milliseconds: Option<i64>) -> Option<PgInterval> {
    let interval = |milliseconds: i64| PgInterval {
        months: 0,
        days: 0,
        microseconds: milliseconds.saturating_mul(1000),
    };
    milliseconds.map(interval)
}

fn lease_ms(claim: &ClaimRequest) -> Option<i64> {
    Retention::For(claim.lease).milliseconds()
}

/// Returns how long a record is there that nobody ends.
fn life_ms(claim: &ClaimRequest) -> Option<i64> {
    let both = lease_ms(claim).zip(claim.abandoned_retention().milliseconds());
    both.map(|(lease, abandoned)| lease.saturating_add(abandoned))
}

fn bind_completions<'q>(query: PgQuery<'q>, ends: &'q [(usize, &'q End)]) -> PgQuery<'q> {
    let each = || ends.iter().map(|(_, end)| *end);
    query
        .bind(Place::list(each().filter_map(|end| end.place)))
        .bind(each().map(|end| end.token.as_uuid()).bind_iter())
        .bind(each().map(|end| interval(end.change.kept_ms())).bind_iter())
        .bind(each().map(|end| end.change.status()).bind_iter())
        .bind(each().map(|end| end.change.head()).bind_iter())
        .bind(each().map(|end| end.change.body()).bind_iter())
}

fn bind_ends<'q>(query: PgQuery<'q>, ends: &'q [(usize, &'q End)]) -> PgQuery<'q> {
    let each = || ends.iter().map(|(_, end)| *end);
    // An array in which nobody has anything is left empty: the server fills it up.
    let few = |has: fn(&Change) -> bool| {
        if each().any(|end| has(&end.change)) {
            ends.len()
        } else {
            0
        }
    };
    let renewals = few(|change| matches!(change, Change::Renew { .. }));
    let failures = few(|change| matches!(change, Change::Fail { .. }));
    let completions = few(|change| matches!(change, Change::Complete(_)));
    query
        .bind(each().map(|end| end.id.as_bytes().as_slice()).bind_iter())
        .bind(each().map(|end| end.token.as_uuid()).bind_iter())
        .bind(each().map(|end| end.change.number()).bind_iter())
        .bind(each().map(|end| interval(end.change.kept_ms())).bind_iter())
        .bind(
            each()
                .take(renewals)
                .map(|end| interval(end.change.lease_ms()))
                .bind_iter(),
        )
        .bind(
            each()
                .take(completions)
                .map(|end| end.change.status())
                .bind_iter(),
        )
        .bind(
            each()
                .take(completions)
                .map(|end| end.change.head())
                .bind_iter(),
        )
        .bind(
            each()
                .take(completions)
                .map(|end| end.change.body())
                .bind_iter(),
        )
        .bind(
            each()
                .take(failures)
                .map(|end| end.change.category())
                .bind_iter(),
        )
        .bind(
            each()
                .take(failures)
                .map(|end| end.change.error())
                .bind_iter(),
        )
}

impl<'a> Sorted<'a> {
    fn new(batch: &'a [Operation]) -> Self {
        let mut claims = Vec::with_capacity(batch.len());
        let mut ends = Vec::with_capacity(batch.len());
        for (place, operation) in batch.iter().enumerate() {
            match operation {
                Operation::Claim { request, .. } => claims.push((place, &**request)),
                Operation::End(end) => ends.push((place, end)),
                Operation::TakeOver { .. } => {}
            }
        }
        // Stable: of several claims of one record, the first one stays the first.
        claims.sort_by_key(|(_, claim)| claim.id);
        ends.sort_by_key(|(_, end)| end.id);
        Self { claims, ends }
    }

    fn kind_of_ends(&self) -> Ends {
        let is_usual = |(_, end): &(usize, &End)| {
            matches!(end.change, Change::Complete(_)) && end.place.is_some()
        };
        if self.ends.is_empty() {
            Ends::None
        } else if self.ends.iter().all(is_usual) {
            Ends::Completions
        } else {
            Ends::Mixed
        }
    }

    /// Returns the claims that go to the server: one for each record.
    fn asked(&self) -> Vec<&'a ClaimRequest> {
        self.claims
            .chunk_by(|(_, one), (_, other)| one.id == other.id)
            .map(|same| same[0].1)
            .collect()
    }

    /// Reads the result: a summary, and beside it the records that claims have found.
    fn answers(&self, asked: &[&ClaimRequest], rows: &[PgRow]) -> sqlx::Result<Vec<Answer>> {
        let summary = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let first_found: Option<&[u8]> = summary.try_get_unchecked(0)?;
        let found = if first_found.is_some() { rows } else { &[] };
        let mut answers: Vec<Option<Answer>> = Vec::new();
        answers.resize_with(self.claims.len() + self.ends.len(), || None);
        self.read_claims(asked, summary, found, &mut answers)?;
        self.read_ends(summary, &mut answers)?;
        // A takeover is never in such a batch, so every place is taken.
        answers
            .into_iter()
            .map(|answer| answer.ok_or(sqlx::Error::RowNotFound))
            .collect()
    }

    fn read_claims(
        &self,
        asked: &[&ClaimRequest],
        summary: &PgRow,
        found: &[PgRow],
        answers: &mut [Option<Answer>],
    ) -> sqlx::Result<()> {
        let made: Option<&[u8]> = summary.try_get_unchecked(1)?;
        let mut made = Place::all_from_sent(made.unwrap_or_default());
        // If not, it is looked at again who did: a claim knows its own record by its token.
        let all_are_made = made.len() == asked.len() - found.len();
        let mut records = vec![None; asked.len()];
        for row in found {
            let id: &[u8] = row.try_get_unchecked(0)?;
            let place = asked.binary_search_by(|claim| claim.id.as_bytes().as_slice().cmp(id));
            records[place.map_err(|_| sqlx::Error::RowNotFound)?] = Some(row);
        }
        let same = self
            .claims
            .chunk_by(|(_, one), (_, other)| one.id == other.id);
        for (same, row) in same.zip(records) {
            let first = same[0].1;
            let new_row = match row {
                None if all_are_made => made.next(),
                _ => None,
            };
            for (nth, (place, _)) in same.iter().enumerate() {
                let found = match (row, new_row) {
                    (Some(row), _) => row::claim(row, 3).map(Found::record),
                    (None, None) => Ok(Found::Missed),
                    (None, Some(place)) if nth == 0 => Ok(Found::Made(place)),
                    (None, Some(_)) => Ok(Found::record(as_made(first))),
                };
                answers[*place] = Some(Answer::Claimed(found));
            }
        }
        Ok(())
    }

    fn read_ends(&self, summary: &PgRow, answers: &mut [Option<Answer>]) -> sqlx::Result<()> {
        let changed: Vec<i32> = summary.try_get_unchecked(2)?;
        let all = changed.len() == self.ends.len();
        // Which of them is asked only if not all were changed.
        let changed: HashSet<i32> = if all {
            HashSet::new()
        } else {
            changed.into_iter().collect()
        };
        for (n, (place, _)) in (1..).zip(&self.ends) {
            answers[*place] = Some(Answer::Ended(all || changed.contains(&n)));
        }
        Ok(())
    }
}

/// Describes the record that a claim has just made, to other claims of the same key.
fn as_made(claim: &ClaimRequest) -> RawClaim {
    RawClaim {
        state: Some(RecordState::InProgress),
        token: claim.token,
        fingerprint: Some(claim.fingerprint),
        attempt: 1,
        takeover: false,
        expired: false,
        remaining_ms: lease_ms(claim).unwrap_or(i64::MAX),
        life_us: None,
        response: None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tower_idempotency_core::{Fingerprint, IdempotencyKey, Scope};

    use super::{super::operation::Change, *};

    fn claim(durable: bool) -> Operation {
        let key = IdempotencyKey::new("k").expect("a valid key");
        let scope = Scope::new("alice", "POST /payments");
        Operation::Claim {
            request: Arc::new(ClaimRequest::new(scope, key, Fingerprint::OFF)),
            durable,
        }
    }

    fn end() -> Operation {
        let Operation::Claim { request, .. } = claim(false) else {
            unreachable!("it is a claim");
        };
        Operation::End(End {
            id: request.id,
            token: request.token,
            place: None,
            change: Change::Free,
        })
    }

    #[test]
    fn a_commit_is_relaxed_only_if_everybody_in_the_batch_agrees() {
        assert!(may_relax(&[claim(false)]));
        assert!(may_relax(&[claim(false), claim(false)]));
        assert!(!may_relax(&[claim(true)]));
        assert!(!may_relax(&[claim(false), claim(true)]));
        assert!(!may_relax(&[claim(false), end()]));
        assert!(!may_relax(&[end()]));
    }
}

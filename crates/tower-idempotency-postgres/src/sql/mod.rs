//! Every statement of the store.
//!
//! Rules for all of them:
//!
//! - The server's clock judges, once for each statement, and nothing else does: `now()` stands
//!   still in a transaction, and the application's clock may be wrong. What every request runs
//!   takes `statement_timestamp()`, when the statement arrived; a moment too early makes a claim
//!   stricter, and a stale completion is refused by its token. The rest takes `clock_timestamp()`.
//! - No session state, so that any connection will do.
//! - Rows that somebody else may hold in an open transaction are taken with `SKIP LOCKED`, or only
//!   if nobody has touched them since they were written; nothing waits for them.
//! - Each is one look-up by the primary key, by `sweep_at`, or by the place of a row.

mod batched;
mod effect;
mod leased;
mod operating;
mod transactional;

use std::{fmt::Write, sync::Arc};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use tower_idempotency_core::{LeaseToken, RecordId};

use crate::{
    sabotage::{self, Guard},
    schema::Schema,
};

pub(crate) use self::effect::{LOST, OTHER_ROWS, Rows};

const MIGRATIONS: [&str; 2] = [
    include_str!("../../migrations/0001_create_idempotency_keys.sql"),
    include_str!("../../migrations/0002_create_idempotency_keys_lock.sql"),
];

/// When the statement arrived: steady as long as it runs, and no join.
const NOW: &str = "statement_timestamp()";
/// Stands for [`NOW`] in the statements.
const NOW_MARK: &str = "/* now */";

/// What a record is, which its other columns say.
const STATE: &str = "CASE WHEN lease_expires_at IS NOT NULL THEN 'in_progress'
            WHEN response_status IS NOT NULL THEN 'completed'
            ELSE 'failed' END";
/// Stands for [`STATE`] in the statements.
const STATE_MARK: &str = "/* state */";

/// Whether a record, which the statement has to call so, has failed.
const FAILED: &str = "(record.lease_expires_at IS NULL AND record.response_status IS NULL)";
/// Stands for [`FAILED`] in the statements.
const FAILED_MARK: &str = "/* failed */";

/// What claims read of a record, for `row::claim`: times as what is left of them, of the lease and
/// of the record's life, which is NULL where it is kept for ever. What they mean is not reckoned
/// here: the server would set that up for every claim, and nearly none finds a record.
const READ_BY_CLAIMS: &str = "token, fingerprint, attempt, takeover,
       lease_expires_at - /* now */ AS lease, nullif(expires_at, 'infinity') - /* now */ AS life,
       response_status, response_head, response_body";
/// Stands for [`READ_BY_CLAIMS`] in the statements.
const READ_BY_CLAIMS_MARK: &str = "/* read by claims */";

/// The texts, made once for the schema that is used.
#[derive(Clone, Debug)]
pub(crate) struct Sql {
    /// Whether a commit of claims alone may be lost by a crash of the server.
    pub(crate) relaxed_claims: bool,
    pub(crate) claims: Text,
    pub(crate) ends: Text,
    pub(crate) completions: Text,
    pub(crate) claims_and_ends: Text,
    pub(crate) claims_and_completions: Text,
    pub(crate) claim: Text,
    pub(crate) found: Text,
    pub(crate) take_over: Text,
    pub(crate) renew: Text,
    pub(crate) complete: Text,
    pub(crate) complete_unheld: Text,
    pub(crate) complete_there: Text,
    pub(crate) complete_in: Text,
    pub(crate) fail: Text,
    pub(crate) free: Text,
    pub(crate) state_of: Text,
    pub(crate) lookup: Text,
    pub(crate) list: Text,
    pub(crate) sweep: Text,
    pub(crate) load_steps: Text,
    pub(crate) keep_steps: Text,
    pub(crate) answer: Text,
    pub(crate) free_abandoned: Text,
    pub(crate) remaining: Text,
    pub(crate) ended: Text,
    pub(crate) keep_in_transaction: Text,
    pub(crate) note_failure: Text,
    pub(crate) keep_steps_beside: Text,
    pub(crate) forget: Text,
    pub(crate) load_steps_beside: Text,
    pub(crate) held_locks: Text,
    lock_and_look: Text,
}

/// One statement; cheap to hand to the driver.
#[derive(Clone, Debug)]
pub(crate) struct Text(Arc<str>);

impl SqlSafeStr for Text {
    /// The text is made of constants and a schema name that was checked and quoted.
    fn into_sql_str(self) -> SqlStr {
        AssertSqlSafe(self.0).into_sql_str()
    }
}

impl Sql {
    pub(crate) fn new(schema: &Schema, left_out: Option<Guard>) -> Self {
        let text = |sql: &str| {
            let sql = sql
                .replace(READ_BY_CLAIMS_MARK, READ_BY_CLAIMS)
                .replace(STATE_MARK, STATE)
                .replace(FAILED_MARK, FAILED)
                .replace(NOW_MARK, NOW);
            Text(Arc::from(schema.apply(&sql)))
        };
        let batched = |sql: String| text(&sabotage::without_in_batch(left_out, sql));
        let completions = |sql: String| text(&sabotage::without_in_completions(left_out, sql));
        let guarded = |guard, sql: &str| text(&sabotage::without(left_out, guard, sql));
        let complete = |guard, row: &str| guarded(guard, &[leased::COMPLETE, row].concat());
        Self {
            relaxed_claims: false,
            claims: text(&batched::claims()),
            ends: batched(batched::ends()),
            completions: completions(batched::completions()),
            claims_and_ends: batched(batched::both()),
            claims_and_completions: completions(batched::claims_and_completions()),
            claim: text(leased::CLAIM),
            found: text(leased::FOUND),
            take_over: text(leased::TAKE_OVER),
            renew: guarded(Guard::RenewFence, leased::RENEW),
            complete: complete(Guard::CompleteFence, leased::WHEREVER_IT_IS),
            complete_unheld: complete(Guard::CompleteFence, leased::UNHELD),
            complete_there: complete(Guard::CompleteFence, leased::THERE),
            complete_in: complete(Guard::InTransactionCheck, leased::WHEREVER_IT_IS),
            fail: text(leased::FAIL),
            free: text(leased::FREE),
            state_of: text(leased::STATE_OF),
            lookup: text(&[operating::RECORD, operating::LOOKUP].concat()),
            list: text(&[operating::RECORD, operating::LIST].concat()),
            sweep: text(operating::SWEEP),
            load_steps: text(leased::LOAD_STEPS),
            keep_steps: text(leased::KEEP_STEPS),
            answer: text(operating::ANSWER),
            free_abandoned: text(operating::FREE_ABANDONED),
            remaining: text(operating::REMAINING),
            ended: text(operating::ENDED),
            keep_in_transaction: guarded(
                Guard::InTransactionCheck,
                transactional::KEEP_IN_TRANSACTION,
            ),
            note_failure: text(
                &transactional::NOTE_FAILURE
                    .replace("/* if the lock is free */", transactional::IF_LOCK_IS_FREE)
                    .replace("/* lock */", transactional::LOCK),
            ),
            keep_steps_beside: text(transactional::NOTE_FAILURE),
            forget: text(transactional::FORGET),
            load_steps_beside: text(transactional::LOAD_STEPS_BESIDE),
            held_locks: text(&transactional::HELD_LOCKS.replace("/* lock */", transactional::LOCK)),
            lock_and_look: text(transactional::LOCK_AND_LOOK),
        }
    }

    /// The same, but what claims is committed without waiting for the disk.
    pub(crate) fn with_relaxed_claims(&self) -> Self {
        Self {
            relaxed_claims: true,
            claim: relaxed(&self.claim),
            take_over: relaxed(&self.take_over),
            ..self.clone()
        }
    }

    /// Returns the statement that a transactional claim begins with, and the settings it is to make.
    pub(crate) fn lock_and_look_with(&self, settings: &str) -> Text {
        Text(Arc::from(
            self.lock_and_look.0.replace("/* settings */", settings),
        ))
    }
}

impl Text {
    /// Returns the statement of a transactional claim with its values written into it: for poolers
    /// behind which preparing it would cost a round trip each time.
    pub(crate) fn with_values(&self, id: &RecordId, mark: LeaseToken) -> String {
        let mut literal = String::with_capacity(80);
        literal.push_str("'\\x");
        for byte in id.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(literal, "{byte:02x}");
        }
        literal.push_str("'::bytea");
        self.0
            .replace("$1", &literal)
            .replace("$2", &format!("'{}'::bigint", lock_number(id)))
            .replace("$3", &format!("'{}'", mark.as_uuid()))
    }
}

/// Moves the numbers of all parameters up.
fn renumbered(sql: &str, by: usize) -> String {
    let mut parts = sql.split('$');
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        let number: usize = number.parse().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(moved, "${}{rest}", number + by);
    }
    moved
}

/// Lets a statement's own transaction, and no other one, be committed without waiting for the disk.
fn relaxed(text: &Text) -> Text {
    let off = "set_config('synchronous_commit', 'off', true)";
    // Where each of the two statements is sure to evaluate it, if it writes.
    let clock = "SELECT clock_timestamp() AS now)";
    let relaxed = text
        .0
        .replacen("/* and relaxed */", &format!("AND {off} = 'off'"), 1)
        .replacen(
            clock,
            &format!("SELECT clock_timestamp() AS now, {off})"),
            1,
        );
    Text(Arc::from(relaxed))
}

/// The number that stands for a key among a table's locks.
///
/// Half a collision is as unlikely as one of the identities' first half, and then costs a 409.
pub(crate) fn lock_number(id: &RecordId) -> i64 {
    let mut number = [0; 8];
    number.copy_from_slice(&id.as_bytes()[..8]);
    i64::from_be_bytes(number)
}

/// Returns the migrations, in their order.
pub(crate) fn migrations(schema: &Schema) -> String {
    MIGRATIONS.map(|sql| schema.apply(sql)).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guard that is named differently from what the statements say would be left in.
    #[test]
    fn leaving_a_guard_out_changes_its_statement() {
        let schema = Schema::default();
        let whole = Sql::new(&schema, None);
        let without = |guard| Sql::new(&schema, Some(guard));
        let renew = without(Guard::RenewFence).renew;
        assert_ne!(renew.0, whole.renew.0);
        for guard in [Guard::RenewFence, Guard::CompleteFence] {
            let without = without(guard);
            assert_ne!(without.ends.0, whole.ends.0);
            assert_ne!(without.claims_and_ends.0, whole.claims_and_ends.0);
        }
        let completions = without(Guard::CompleteFence).completions;
        assert_ne!(completions.0, whole.completions.0);
        let completions = without(Guard::CompleteFence).claims_and_completions;
        assert_ne!(completions.0, whole.claims_and_completions.0);
        let complete = without(Guard::CompleteFence).complete;
        assert_ne!(complete.0, whole.complete.0);
        let unheld = without(Guard::CompleteFence).complete_unheld;
        assert_ne!(unheld.0, whole.complete_unheld.0);
        let there = without(Guard::CompleteFence).complete_there;
        assert_ne!(there.0, whole.complete_there.0);
        let in_transaction = without(Guard::InTransactionCheck);
        assert_ne!(in_transaction.complete_in.0, whole.complete_in.0);
        let keep = in_transaction.keep_in_transaction;
        assert_ne!(keep.0, whole.keep_in_transaction.0);
    }

    #[test]
    fn claims_alone_may_be_relaxed() {
        let whole = Sql::new(&Schema::default(), None);
        let relaxed = whole.with_relaxed_claims();
        let off = "set_config('synchronous_commit', 'off', true)";
        assert!(relaxed.relaxed_claims && !whole.relaxed_claims);
        assert!(relaxed.claim.0.contains(off));
        assert!(relaxed.take_over.0.contains(off));
        for (relaxed, whole) in [
            (relaxed.renew, whole.renew),
            (relaxed.complete, whole.complete),
            (relaxed.complete_in, whole.complete_in),
            (relaxed.fail, whole.fail),
            (relaxed.free, whole.free),
            (relaxed.keep_steps, whole.keep_steps),
        ] {
            assert_eq!(relaxed.0, whole.0);
        }
    }

    /// `now()` stands still in a transaction, and a session's time zone or a lenient comparison
    /// with local time has made other stores expire records hours too early.
    #[test]
    fn no_statement_asks_any_other_clock() {
        let sql = Sql::new(&Schema::default(), None);
        let all = [
            &sql.claims,
            &sql.ends,
            &sql.completions,
            &sql.claims_and_ends,
            &sql.claims_and_completions,
            &sql.claim,
            &sql.found,
            &sql.take_over,
            &sql.renew,
            &sql.complete,
            &sql.complete_unheld,
            &sql.complete_there,
            &sql.fail,
            &sql.free,
            &sql.state_of,
            &sql.lookup,
            &sql.list,
            &sql.sweep,
            &sql.load_steps,
            &sql.keep_steps,
            &sql.answer,
            &sql.free_abandoned,
            &sql.remaining,
            &sql.ended,
            &sql.keep_in_transaction,
            &sql.note_failure,
            &sql.keep_steps_beside,
            &sql.forget,
            &sql.load_steps_beside,
            &sql.held_locks,
            &sql.lock_and_look,
        ];
        for Text(text) in all {
            let text = text.to_lowercase();
            for other in [
                "now()",
                "current_timestamp",
                "localtime",
                "at time zone",
                "transaction_timestamp",
            ] {
                assert!(!text.contains(other), "{other} in {text}");
            }
        }
    }
}

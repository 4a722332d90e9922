//! Every statement of the store.
//!
//! Rules for all of them:
//!
//! - `clock_timestamp()` judges, once for each statement, and nothing else does:
//!   `now()` stands still in a transaction, and the application's clock may be wrong.
//! - No session state, so that any connection will do.
//! - Rows that somebody else may hold in an open transaction are taken with `SKIP LOCKED`;
//!   nothing waits for them.
//! - Each is one look-up by the primary key, or by `sweep_at`.

use std::{fmt::Write, sync::Arc};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use tower_idempotency_core::RecordId;

use crate::{
    sabotage::{self, Guard},
    schema::Schema,
};

const MIGRATIONS: [&str; 1] = [include_str!(
    "../migrations/0001_create_idempotency_keys.sql"
)];

/// The texts, made once for the schema that is used.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) claim: Text,
    pub(crate) take_over: Text,
    pub(crate) renew: Text,
    pub(crate) complete: Text,
    pub(crate) complete_in: Text,
    pub(crate) fail: Text,
    pub(crate) free: Text,
    pub(crate) state_of: Text,
    pub(crate) lookup: Text,
    pub(crate) list: Text,
    pub(crate) sweep: Text,
    pub(crate) postpone: Text,
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
    try_lock: Text,
    find: Text,
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
        let text = |sql: &str| Text(Arc::from(schema.apply(sql)));
        let guarded = |guard, sql| text(&sabotage::without(left_out, guard, sql));
        Self {
            claim: text(CLAIM),
            take_over: text(TAKE_OVER),
            renew: guarded(Guard::RenewFence, RENEW),
            complete: guarded(Guard::CompleteFence, COMPLETE),
            complete_in: guarded(Guard::InTransactionCheck, COMPLETE),
            fail: text(FAIL),
            free: text(FREE),
            state_of: text(STATE_OF),
            lookup: text(&format!("{RECORD} {LOOKUP}")),
            list: text(&format!("{RECORD} {LIST}")),
            sweep: text(SWEEP),
            postpone: text(POSTPONE),
            load_steps: text(LOAD_STEPS),
            keep_steps: text(KEEP_STEPS),
            answer: text(ANSWER),
            free_abandoned: text(FREE_ABANDONED),
            remaining: text(REMAINING),
            ended: text(ENDED),
            keep_in_transaction: guarded(Guard::InTransactionCheck, KEEP_IN_TRANSACTION),
            note_failure: text(
                &NOTE_FAILURE
                    .replace("/* if the lock is free */", IF_LOCK_IS_FREE)
                    .replace("/* lock */", LOCK),
            ),
            keep_steps_beside: text(NOTE_FAILURE),
            forget: text(FORGET),
            load_steps_beside: text(LOAD_STEPS_BESIDE),
            held_locks: text(&HELD_LOCKS.replace("/* lock */", LOCK)),
            try_lock: text(&TRY_LOCK.replace("/* lock */", LOCK)),
            find: text(FIND),
        }
    }

    /// Returns the statements that try a key's lock and then read its record, with the identity
    /// written into them: for the simple protocol, which carries both in one round trip.
    pub(crate) fn look_literally(&self, id: &RecordId) -> String {
        let mut literal = String::with_capacity(80);
        literal.push_str("'\\x");
        for byte in id.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(literal, "{byte:02x}");
        }
        literal.push_str("'::bytea");
        let number = format!("'{}'::bigint", lock_number(id));
        let try_lock = self.try_lock.0.replace("/* number */", &number);
        format!("{try_lock}; {}", self.find.0.replace("/* id */", &literal))
    }
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

/// Reads the record; only if there is none, makes one. Never waits for a row that is held.
///
/// No row comes back if somebody else made the record in between: then run it again.
///
/// `$1` id, `$2` token, `$3` fingerprint, `$4` namespace, `$5` principal, `$6` route, `$7` key,
/// `$8` lease, `$9` failed retention, `$10` retention; all times in ms, NULL for ever.
const CLAIM: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
existing AS MATERIALIZED (
    SELECT state, token, fingerprint, attempt, takeover, lease_expires_at, expires_at,
           response_status, response_head, response_body
    FROM /* schema. */idempotency_keys
    WHERE id = $1
),
inserted AS (
    INSERT INTO /* schema. */idempotency_keys
        (id, token, fingerprint, namespace, principal, route, key, state, attempt, takeover,
         created_at, lease_expires_at, expires_at, sweep_at)
    SELECT $1, $2, $3, $4, $5, $6, $7, 'in_progress', 1, false, now,
           now + $8 * interval '1 millisecond',
           coalesce(now + ($8 + $9) * interval '1 millisecond', 'infinity'),
           coalesce(now + $10 * interval '1 millisecond',
                    now + ($8 + $9) * interval '1 millisecond', 'infinity')
    FROM clock
    WHERE NOT EXISTS (SELECT FROM existing)
    ON CONFLICT (id) DO NOTHING
    RETURNING token
)
SELECT NULL::text AS state, token, NULL::bytea AS fingerprint, 1 AS attempt, false AS takeover,
       false AS expired, 0::bigint AS remaining_ms,
       NULL::smallint AS response_status, NULL::bytea AS response_head,
       NULL::bytea AS response_body
FROM inserted
UNION ALL
SELECT state, token, fingerprint, attempt, takeover, expires_at <= now,
       coalesce(ceil(extract(epoch FROM lease_expires_at - now) * 1000), 0)::bigint,
       response_status, response_head, response_body
FROM existing, clock";

/// Puts a new execution in the place of one that expired, failed or lost its lease,
/// if the record is still the one that was seen, and still for the reason that was seen.
///
/// `$1` id, `$2` token, `$3` fingerprint, `$4` the token that was seen, `$5` what the record was:
/// expired, failed or dead, `$6` lease, `$7` failed retention, `$8` retention.
const TAKE_OVER: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
seen AS MATERIALIZED (
    SELECT id, state, expires_at <= now AS expired
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND token = $4
      AND CASE $5::text
          WHEN 'expired' THEN expires_at <= now
          WHEN 'failed' THEN expires_at > now AND state = 'failed'
          WHEN 'dead' THEN expires_at > now AND state = 'in_progress' AND lease_expires_at <= now
          END
    FOR UPDATE OF record SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET token = $2, fingerprint = $3, state = 'in_progress',
    attempt = CASE WHEN seen.expired THEN 1 ELSE attempt + 1 END,
    takeover = NOT seen.expired AND seen.state = 'in_progress',
    created_at = CASE WHEN seen.expired THEN now ELSE created_at END,
    lease_expires_at = now + $6 * interval '1 millisecond',
    ended_at = NULL,
    expires_at = coalesce(now + ($6 + $7) * interval '1 millisecond', 'infinity'),
    sweep_at = coalesce(now + $8 * interval '1 millisecond',
                        now + ($6 + $7) * interval '1 millisecond', 'infinity'),
    steps = CASE WHEN NOT seen.expired AND fingerprint = $3 THEN steps END,
    response_status = NULL, response_head = NULL, response_body = NULL,
    failure_category = NULL, failure_error = NULL
FROM seen, clock
WHERE record.id = seen.id
RETURNING attempt, takeover";

/// Lets the lease last again. `$1` id, `$2` token, `$3` lease, `$4` failed retention.
const RENEW: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
held AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND token = $2 AND state = 'in_progress' AND expires_at > now
    FOR UPDATE OF record SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET lease_expires_at = now + $3 * interval '1 millisecond',
    expires_at = coalesce(now + ($3 + $4) * interval '1 millisecond', 'infinity')
FROM held, clock
WHERE record.id = held.id";

/// Keeps a response. `$1` id, `$2` token, `$3` retention, `$4` status, `$5` head, `$6` body.
const COMPLETE: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
UPDATE /* schema. */idempotency_keys
SET state = 'completed', lease_expires_at = NULL, ended_at = now,
    expires_at = coalesce(now + $3 * interval '1 millisecond', 'infinity'),
    sweep_at = least(sweep_at, coalesce(now + $3 * interval '1 millisecond', 'infinity')),
    steps = NULL, response_status = $4, response_head = $5, response_body = $6
FROM clock
WHERE id = $1 AND token = $2 AND state = 'in_progress' AND expires_at > now";

/// Records a failure. `$1` id, `$2` token, `$3` failed retention, `$4` category, `$5` error.
const FAIL: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
UPDATE /* schema. */idempotency_keys
SET state = 'failed', lease_expires_at = NULL, ended_at = now,
    expires_at = coalesce(now + $3 * interval '1 millisecond', 'infinity'),
    sweep_at = least(sweep_at, coalesce(now + $3 * interval '1 millisecond', 'infinity')),
    failure_category = $4, failure_error = $5
FROM clock
WHERE id = $1 AND token = $2 AND state = 'in_progress' AND expires_at > now";

/// Gives a key up without a trace. `$1` id, `$2` token.
const FREE: &str = "
DELETE FROM /* schema. */idempotency_keys
WHERE id = $1 AND token = $2 AND state = 'in_progress' AND expires_at > clock_timestamp()";

/// Says where the execution with this token is. `$1` id, `$2` token.
const STATE_OF: &str = "
SELECT state
FROM /* schema. */idempotency_keys
WHERE id = $1 AND token = $2 AND expires_at > clock_timestamp()";

/// Times in microseconds since 1970; NULL for those that never come.
const RECORD: &str = "
SELECT id, namespace, principal, route, key, fingerprint, state, attempt,
       (extract(epoch FROM created_at) * 1000000)::bigint AS created_us,
       (extract(epoch FROM lease_expires_at) * 1000000)::bigint AS lease_us,
       (extract(epoch FROM ended_at) * 1000000)::bigint AS ended_us,
       CASE WHEN isfinite(expires_at)
            THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us,
       response_status, failure_category, failure_error";

/// `$1` id.
const LOOKUP: &str = ", response_head, response_body
FROM /* schema. */idempotency_keys
WHERE id = $1 AND expires_at > clock_timestamp()";

/// `$1` the identity to begin behind, empty for the start; `$2` state or NULL; `$3` limit.
const LIST: &str = "
FROM /* schema. */idempotency_keys
WHERE id > $1 AND ($2::text IS NULL OR state = $2) AND expires_at > clock_timestamp()
ORDER BY id
LIMIT $3";

/// Deletes expired records, if nobody else is at it. `$1` limit.
///
/// The sub-selects without a reference are evaluated once, so that they can be index conditions;
/// the rows are found again by their place, so that no statistics can lead to reading the table.
const SWEEP: &str = "
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(
        7310868735000000 + '/* schema. */idempotency_keys'::regclass::oid::bigint) AS ours
)
DELETE FROM /* schema. */idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM /* schema. */idempotency_keys
    WHERE (SELECT ours FROM turn)
      AND sweep_at <= (SELECT clock_timestamp()) AND expires_at <= (SELECT clock_timestamp())
    ORDER BY sweep_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))";

/// Moves records that live longer than was foreseen out of the sweeper's way. `$1` limit.
const POSTPONE: &str = "
UPDATE /* schema. */idempotency_keys
SET sweep_at = expires_at
WHERE ctid = ANY (ARRAY(
    SELECT ctid
    FROM /* schema. */idempotency_keys
    WHERE sweep_at <= (SELECT clock_timestamp())
      AND expires_at > (SELECT clock_timestamp()) + interval '5 minutes'
    ORDER BY sweep_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
))";

/// Reads the results of steps. `$1` id, `$2` token.
const LOAD_STEPS: &str = "
SELECT steps
FROM /* schema. */idempotency_keys
WHERE id = $1 AND token = $2 AND state = 'in_progress'";

/// Keeps the results of steps. `$1` id, `$2` token, `$3` steps.
const KEEP_STEPS: &str = "
WITH held AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys
    WHERE id = $1 AND token = $2 AND state = 'in_progress' AND expires_at > clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET steps = $3
FROM held
WHERE record.id = held.id";

/// Answers a key that nobody is at work on.
///
/// `$1` id, `$2` the new token, `$3` retention, `$4` status, `$5` head, `$6` body.
const ANSWER: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
abandoned AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND expires_at > now
      AND (state = 'failed' OR (state = 'in_progress' AND lease_expires_at <= now))
    FOR UPDATE OF record SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET token = $2, state = 'completed', lease_expires_at = NULL, ended_at = now,
    expires_at = coalesce(now + $3 * interval '1 millisecond', 'infinity'),
    sweep_at = coalesce(now + $3 * interval '1 millisecond', 'infinity'),
    steps = NULL, failure_category = NULL, failure_error = NULL,
    response_status = $4, response_head = $5, response_body = $6
FROM abandoned, clock
WHERE record.id = abandoned.id";

/// Frees a key that nobody is at work on. `$1` id.
const FREE_ABANDONED: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
abandoned AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND expires_at > now
      AND (state = 'failed' OR (state = 'in_progress' AND lease_expires_at <= now))
    FOR UPDATE OF record SKIP LOCKED
)
DELETE FROM /* schema. */idempotency_keys AS record
USING abandoned
WHERE record.id = abandoned.id";

/// Says who is at work on a key, and for how long. `$1` id.
const REMAINING: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT state, coalesce(ceil(extract(epoch FROM lease_expires_at - now) * 1000), 0)::bigint
           AS remaining_ms
FROM /* schema. */idempotency_keys, clock
WHERE id = $1 AND expires_at > now";

/// Tells which keys nobody is at work on. `$1` ids.
///
/// One look-up by the primary key for each: the limit keeps the planner from joining tables.
const ENDED: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT waited.id
FROM clock, unnest($1::bytea[]) AS waited (id)
LEFT JOIN LATERAL (
    SELECT state, lease_expires_at, expires_at
    FROM /* schema. */idempotency_keys AS record
    WHERE record.id = waited.id
    LIMIT 1
) AS record ON true
WHERE (state = 'in_progress' AND lease_expires_at > now AND expires_at > now) IS NOT TRUE";

/// The lock that stands for a key, made of its number and the table's, so that the same key in
/// another table is another one. It is negative, and those of sweeps and migrations are not.
const LOCK: &str = "((number # ('/* schema. */idempotency_keys'::regclass::oid::bigint << 32))
         | '-9223372036854775808'::bigint)";

/// Tries a key's lock, which lasts as long as the transaction.
const TRY_LOCK: &str = "
SELECT pg_try_advisory_xact_lock(/* lock */) AS ours
FROM (VALUES (/* number */)) AS asked (number)";

/// Reads the record for a transactional claim, which has the key's lock already.
const FIND: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT state, token, fingerprint, attempt, takeover, expires_at <= now AS expired,
       coalesce(ceil(extract(epoch FROM lease_expires_at - now) * 1000), 0)::bigint
           AS remaining_ms,
       response_status, response_head, response_body
FROM /* schema. */idempotency_keys, clock
WHERE id = /* id */";

/// Keeps a response in the handler's transaction.
///
/// The mark says that the transaction is still the one of the claim. A record that is there is
/// replaced only if the key is as free as it was for the claim: it has expired or failed,
/// or it is the dead lease that the claim saw, and still dead.
///
/// `$1` id, `$2` token, `$3` retention, `$4` status, `$5` head, `$6` body, `$7` fingerprint,
/// `$8` namespace, `$9` principal, `$10` route, `$11` key, `$12` attempt, `$13` takeover,
/// `$14` the token that was seen.
const KEEP_IN_TRANSACTION: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
INSERT INTO /* schema. */idempotency_keys AS record
    (id, token, fingerprint, namespace, principal, route, key, state, attempt, takeover,
     created_at, ended_at, expires_at, sweep_at,
     response_status, response_head, response_body)
SELECT $1, $2, $7, $8, $9, $10, $11, 'completed', $12, $13, now, now,
       coalesce(now + $3 * interval '1 millisecond', 'infinity'),
       coalesce(now + $3 * interval '1 millisecond', 'infinity'),
       $4, $5, $6
FROM clock
WHERE current_setting('tower_idempotency.token', true) = $2::text
ON CONFLICT (id) DO UPDATE
SET token = excluded.token, fingerprint = excluded.fingerprint, state = 'completed',
    attempt = excluded.attempt, takeover = excluded.takeover,
    created_at = CASE WHEN record.expires_at <= excluded.created_at
                      THEN excluded.created_at ELSE record.created_at END,
    lease_expires_at = NULL, ended_at = excluded.ended_at,
    expires_at = excluded.expires_at, sweep_at = excluded.sweep_at,
    steps = NULL, failure_category = NULL, failure_error = NULL,
    response_status = excluded.response_status, response_head = excluded.response_head,
    response_body = excluded.response_body
WHERE record.expires_at <= excluded.created_at OR record.state = 'failed'
   OR (record.state = 'in_progress' AND record.token = $14
       AND record.lease_expires_at <= excluded.created_at)";

/// Records that a transactional execution failed, or would have if it went no further, and the
/// results of its steps. A lease that has come back to life is left alone.
///
/// `$1` id, `$2` token, `$3` failed retention, `$4` category, `$5` error, `$6` fingerprint,
/// `$7` namespace, `$8` principal, `$9` route, `$10` key, `$11` attempt, `$12` takeover,
/// `$13` the token that was seen, `$14` the results of steps, or NULL to leave them,
/// `$15` the key's number, if the lock is to be had.
const NOTE_FAILURE: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
INSERT INTO /* schema. */idempotency_keys AS record
    (id, token, fingerprint, namespace, principal, route, key, state, attempt, takeover,
     created_at, ended_at, expires_at, sweep_at, failure_category, failure_error, steps)
SELECT $1, $2, $6, $7, $8, $9, $10, 'failed', $11, $12, now, now,
       coalesce(now + $3 * interval '1 millisecond', 'infinity'),
       coalesce(now + $3 * interval '1 millisecond', 'infinity'),
       $4, $5, $14
FROM clock /* if the lock is free */
ON CONFLICT (id) DO UPDATE
SET token = excluded.token, fingerprint = excluded.fingerprint, state = 'failed',
    attempt = excluded.attempt, takeover = excluded.takeover,
    created_at = CASE WHEN record.expires_at <= excluded.created_at
                      THEN excluded.created_at ELSE record.created_at END,
    lease_expires_at = NULL, ended_at = excluded.ended_at,
    expires_at = excluded.expires_at, sweep_at = excluded.sweep_at,
    failure_category = excluded.failure_category, failure_error = excluded.failure_error,
    steps = CASE WHEN excluded.steps IS NOT NULL THEN excluded.steps
                 WHEN record.fingerprint = excluded.fingerprint
                      AND record.expires_at > excluded.created_at THEN record.steps END,
    response_status = NULL, response_head = NULL, response_body = NULL
WHERE record.token IN ($13, $2)
  AND (record.expires_at <= excluded.created_at OR record.state = 'failed'
       OR (record.state = 'in_progress' AND record.lease_expires_at <= excluded.created_at))";

/// Once the transaction was rolled back, somebody else may be at work on the key.
const IF_LOCK_IS_FREE: &str = "
CROSS JOIN (VALUES ($15::bigint)) AS asked (number)
WHERE pg_try_advisory_xact_lock(/* lock */)";

/// Removes what a transactional execution has found or left beside its transaction.
///
/// `$1` id, `$2` token, `$3` the token that was seen.
const FORGET: &str = "
DELETE FROM /* schema. */idempotency_keys
WHERE id = $1 AND token IN ($3, $2)
  AND (expires_at <= clock_timestamp() OR state = 'failed'
       OR (state = 'in_progress' AND lease_expires_at <= clock_timestamp()))";

/// Reads the results of steps for a transactional execution.
///
/// `$1` id, `$2` token, `$3` the token that was seen, `$4` fingerprint.
const LOAD_STEPS_BESIDE: &str = "
SELECT steps
FROM /* schema. */idempotency_keys
WHERE id = $1 AND token IN ($3, $2) AND fingerprint = $4 AND state <> 'completed'
  AND expires_at > clock_timestamp()";

/// Tells of which keys somebody holds the lock. `$1` the keys' numbers.
const HELD_LOCKS: &str = "
SELECT number
FROM (SELECT number, /* lock */ AS lock FROM unnest($1::bigint[]) AS asked (number)) AS asked
WHERE EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint = (lock >> 32) & 4294967295
      AND objid::bigint = lock & 4294967295
)";

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
        let complete = without(Guard::CompleteFence).complete;
        assert_ne!(complete.0, whole.complete.0);
        let in_transaction = without(Guard::InTransactionCheck);
        assert_ne!(in_transaction.complete_in.0, whole.complete_in.0);
        let keep = in_transaction.keep_in_transaction;
        assert_ne!(keep.0, whole.keep_in_transaction.0);
    }

    /// `now()` stands still in a transaction, and a session's time zone or a lenient comparison
    /// with local time has made other stores expire records hours too early.
    #[test]
    fn no_statement_asks_any_other_clock() {
        let sql = Sql::new(&Schema::default(), None);
        let all = [
            &sql.claim,
            &sql.take_over,
            &sql.renew,
            &sql.complete,
            &sql.fail,
            &sql.free,
            &sql.state_of,
            &sql.lookup,
            &sql.list,
            &sql.sweep,
            &sql.postpone,
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
            &sql.try_lock,
            &sql.find,
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

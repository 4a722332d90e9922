//! The statements of an execution that is a transaction.

/// The lock that stands for a key, made of its number and the table's, as the function
/// `idempotency_keys_lock` makes it: so that the same key in another table is another one. It is
/// negative, and those of sweeps and migrations are not.
pub(super) const LOCK: &str =
    "((number # ('/* schema. */idempotency_keys'::regclass::oid::bigint << 32))
         | '-9223372036854775808'::bigint)";

/// Tries the key's lock, marks the transaction, and says whether there is a record; NULL if the lock
/// was not to be had.
///
/// `$1` id, `$2` the key's number, `$3` mark.
pub(super) const LOCK_AND_LOOK: &str =
    "SELECT /* schema. */idempotency_keys_lock($1, $2, $3, /* settings */)";

/// Keeps a response in the handler's transaction.
///
/// The mark says that the transaction is still the one of the claim. A record that is there is
/// replaced only if the key is as free as it was for the claim: it has expired or failed,
/// or it is the dead lease that the claim saw, and still dead.
///
/// `$1` id, `$2` token, `$3` retention, `$4` status, `$5` head, `$6` body, `$7` fingerprint,
/// `$8` namespace, `$9` principal, `$10` route, `$11` key, `$12` attempt, `$13` takeover,
/// `$14` the token that was seen.
pub(super) const KEEP_IN_TRANSACTION: &str = "
INSERT INTO /* schema. */idempotency_keys AS record
    (id, token, fingerprint, namespace, principal, route, key, attempt, takeover,
     created_at, ended_at, expires_at, sweep_at,
     response_status, response_head, response_body)
SELECT $1, $2, $7, $8, $9, $10, $11, $12, $13,
       /* now */, /* now */,
       coalesce(/* now */ + $3 * interval '1 millisecond', 'infinity'),
       coalesce(/* now */ + $3 * interval '1 millisecond', 'infinity'),
       $4, $5, $6
WHERE current_setting('tower_idempotency.token', true) = $2::text
ON CONFLICT (id) DO UPDATE
SET token = excluded.token, fingerprint = excluded.fingerprint,
    attempt = excluded.attempt, takeover = excluded.takeover,
    created_at = CASE WHEN record.expires_at <= excluded.created_at
                      THEN excluded.created_at ELSE record.created_at END,
    lease_expires_at = NULL, ended_at = excluded.ended_at,
    expires_at = excluded.expires_at, sweep_at = excluded.sweep_at,
    steps = NULL, failure_category = NULL, failure_error = NULL,
    response_status = excluded.response_status, response_head = excluded.response_head,
    response_body = excluded.response_body
WHERE record.expires_at <= excluded.created_at
   OR /* failed */
   OR (record.token = $14 AND record.lease_expires_at <= excluded.created_at)";

/// Records that a transactional execution failed, or would have if it went no further, and the
/// results of its steps. A lease that has come back to life is left alone.
///
/// `$1` id, `$2` token, `$3` failed retention, `$4` category, `$5` error, `$6` fingerprint,
/// `$7` namespace, `$8` principal, `$9` route, `$10` key, `$11` attempt, `$12` takeover,
/// `$13` the token that was seen, `$14` the results of steps, or NULL to leave them,
/// `$15` the key's number, if the lock is to be had.
pub(super) const NOTE_FAILURE: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
INSERT INTO /* schema. */idempotency_keys AS record
    (id, token, fingerprint, namespace, principal, route, key, attempt, takeover,
     created_at, ended_at, expires_at, sweep_at, failure_category, failure_error, steps)
SELECT $1, $2, $6, $7, $8, $9, $10, $11, $12, now, now,
       coalesce(now + $3 * interval '1 millisecond', 'infinity'),
       coalesce(now + $3 * interval '1 millisecond', 'infinity'),
       $4, $5, $14
FROM clock /* if the lock is free */
ON CONFLICT (id) DO UPDATE
SET token = excluded.token, fingerprint = excluded.fingerprint,
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
  AND (record.expires_at <= excluded.created_at
       OR /* failed */
       OR record.lease_expires_at <= excluded.created_at)";

/// Once the transaction was rolled back, somebody else may be at work on the key.
pub(super) const IF_LOCK_IS_FREE: &str = "
CROSS JOIN (VALUES ($15::bigint)) AS asked (number)
WHERE pg_try_advisory_xact_lock(/* lock */)";

/// Removes what a transactional execution has found or left beside its transaction.
///
/// `$1` id, `$2` token, `$3` the token that was seen.
pub(super) const FORGET: &str = "
DELETE FROM /* schema. */idempotency_keys AS record
WHERE id = $1 AND token IN ($3, $2)
  AND (expires_at <= clock_timestamp() OR /* failed */
       OR lease_expires_at <= clock_timestamp())";

/// Reads the results of steps for a transactional execution.
///
/// `$1` id, `$2` token, `$3` the token that was seen, `$4` fingerprint.
pub(super) const LOAD_STEPS_BESIDE: &str = "
SELECT steps
FROM /* schema. */idempotency_keys
WHERE id = $1 AND token IN ($3, $2) AND fingerprint = $4 AND response_status IS NULL
  AND expires_at > clock_timestamp()";

/// Tells of which keys somebody holds the lock. `$1` the keys' numbers.
pub(super) const HELD_LOCKS: &str = "
SELECT number
FROM (SELECT number, /* lock */ AS lock FROM unnest($1::bigint[]) AS asked (number)) AS asked
WHERE EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint = (lock >> 32) & 4294967295
      AND objid::bigint = lock & 4294967295
)";

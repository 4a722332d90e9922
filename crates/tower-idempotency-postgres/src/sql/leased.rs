//! The statements of an execution that is a lease.

/// Makes the record if there is none, without looking at the one that there is: nearly every claim
/// is of a new key, and a statement that could also answer with the record costs the server more.
///
/// A record that the statement sees is passed by, so that nothing waits for one that is held; no
/// row is changed either if somebody else makes the record in between.
///
/// Returns its place. `$1` id, `$2` token, `$3` fingerprint, `$4` namespace, `$5` principal,
/// `$6` route, `$7` key, `$8` lease, `$9` failed retention, `$10` retention; all times in ms, NULL
/// for ever.
pub(super) const CLAIM: &str = "
INSERT INTO /* schema. */idempotency_keys
    (id, token, fingerprint, namespace, principal, route, key, attempt, takeover,
     created_at, lease_expires_at, expires_at, sweep_at)
SELECT $1, $2, $3, $4, $5, $6, $7, 1, false, /* now */,
       /* now */ + $8 * interval '1 millisecond',
       coalesce(/* now */ + ($8 + $9) * interval '1 millisecond', 'infinity'),
       coalesce(/* now */ + $10 * interval '1 millisecond',
                /* now */ + ($8 + $9) * interval '1 millisecond', 'infinity')
WHERE NOT EXISTS (SELECT FROM /* schema. */idempotency_keys WHERE id = $1) /* and relaxed */
ON CONFLICT (id) DO NOTHING
RETURNING tidsend(ctid)";

/// Reads the record that a claim did not have to make. `$1` id.
pub(super) const FOUND: &str = "
SELECT /* read by claims */
FROM /* schema. */idempotency_keys
WHERE id = $1";

/// Puts a new execution in the place of one that expired, failed or lost its lease,
/// if the record is still the one that was seen, and still for the reason that was seen.
///
/// `$1` id, `$2` token, `$3` fingerprint, `$4` the token that was seen, `$5` what the record was:
/// expired, failed or dead, `$6` lease, `$7` failed retention, `$8` retention.
pub(super) const TAKE_OVER: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
seen AS MATERIALIZED (
    SELECT id, lease_expires_at IS NOT NULL AS running, expires_at <= now AS expired
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND token = $4
      AND CASE $5::text
          WHEN 'expired' THEN expires_at <= now
          WHEN 'failed' THEN expires_at > now AND /* failed */
          WHEN 'dead' THEN expires_at > now AND lease_expires_at <= now
          END
    FOR UPDATE OF record SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET token = $2, fingerprint = $3,
    attempt = CASE WHEN seen.expired THEN 1 ELSE attempt + 1 END,
    takeover = NOT seen.expired AND seen.running,
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
pub(super) const RENEW: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
held AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND token = $2 AND lease_expires_at IS NOT NULL AND expires_at > now
    FOR UPDATE OF record SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET lease_expires_at = now + $3 * interval '1 millisecond',
    expires_at = coalesce(now + ($3 + $4) * interval '1 millisecond', 'infinity')
FROM held, clock
WHERE record.id = held.id";

/// Keeps a response, in the row that one of the conditions below is for. `$3` retention, `$4` status,
/// `$5` head, `$6` body.
pub(super) const COMPLETE: &str = "
UPDATE /* schema. */idempotency_keys
SET lease_expires_at = NULL, ended_at = /* now */,
    expires_at = coalesce(/* now */ + $3 * interval '1 millisecond', 'infinity'),
    sweep_at = least(sweep_at, coalesce(/* now */ + $3 * interval '1 millisecond', 'infinity')),
    steps = NULL, response_status = $4, response_head = $5, response_body = $6";

/// `$1` id, `$2` token.
pub(super) const WHEREVER_IT_IS: &str = "
WHERE id = $1 AND token = $2 AND lease_expires_at IS NOT NULL AND expires_at > /* now */";

/// The same, but leaves a row alone that somebody holds: for a connection that others wait for.
pub(super) const UNHELD: &str = "
WHERE ctid = (
    SELECT ctid
    FROM /* schema. */idempotency_keys
    WHERE id = $1 AND token = $2 AND lease_expires_at IS NOT NULL AND expires_at > /* now */
    FOR UPDATE SKIP LOCKED
)";

/// The same for a row whose place is known. It is left alone if anybody has touched it since it
/// was written: then it has an `xmax`, that of who holds it or has changed it.
///
/// Who takes it between that look and the change, which is microseconds, is waited for, as long as
/// `lock_timeout` says. `$1` place, `$2` token.
pub(super) const THERE: &str = "
WHERE ctid = $1::text::tid AND token = $2 AND lease_expires_at IS NOT NULL AND expires_at > /* now */
  AND xmax = 0";

/// Records a failure. `$1` id, `$2` token, `$3` failed retention, `$4` category, `$5` error.
pub(super) const FAIL: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
UPDATE /* schema. */idempotency_keys
SET lease_expires_at = NULL, ended_at = now,
    expires_at = coalesce(now + $3 * interval '1 millisecond', 'infinity'),
    sweep_at = least(sweep_at, coalesce(now + $3 * interval '1 millisecond', 'infinity')),
    failure_category = $4, failure_error = $5
FROM clock
WHERE id = $1 AND token = $2 AND lease_expires_at IS NOT NULL AND expires_at > now";

/// Gives a key up without a trace. `$1` id, `$2` token.
pub(super) const FREE: &str = "
DELETE FROM /* schema. */idempotency_keys
WHERE id = $1 AND token = $2 AND lease_expires_at IS NOT NULL AND expires_at > clock_timestamp()";

/// Says where the execution with this token is. `$1` id, `$2` token.
pub(super) const STATE_OF: &str = "
SELECT /* state */ AS state
FROM /* schema. */idempotency_keys
WHERE id = $1 AND token = $2 AND expires_at > clock_timestamp()";

/// Reads the results of steps. `$1` id, `$2` token.
pub(super) const LOAD_STEPS: &str = "
SELECT steps
FROM /* schema. */idempotency_keys
WHERE id = $1 AND token = $2 AND lease_expires_at IS NOT NULL";

/// Keeps the results of steps. `$1` id, `$2` token, `$3` steps.
pub(super) const KEEP_STEPS: &str = "
WITH held AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys
    WHERE id = $1 AND token = $2 AND lease_expires_at IS NOT NULL AND expires_at > clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET steps = $3
FROM held
WHERE record.id = held.id";

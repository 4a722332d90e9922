//! Every statement of the store, each atomic by itself.
//!
//! `now` stands for milliseconds since 1970 by SQLite's clock, which reads the time once for each
//! statement.

/// The migrations, in their order.
pub(crate) const MIGRATIONS: &str = include_str!("../migrations/0001_create_idempotency_keys.sql");

/// Counts the objects that the migrations create: two when they have been run.
pub(crate) const MIGRATED: &str = "
SELECT count(*) FROM sqlite_schema
WHERE name IN ('idempotency_keys', 'idempotency_keys_expires_at')";

/// Reads the record for a claim. `?1` id.
pub(crate) const FIND: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
SELECT state, token, fingerprint, attempt, takeover,
       expires_at IS NOT NULL AND expires_at <= now AS expired,
       coalesce(lease_expires_at - now, 0) AS remaining_ms, expires_at - now AS life_ms,
       response_status, response_head, response_body
FROM idempotency_keys, clock
WHERE id = ?1";

/// Makes the record, if there is none.
///
/// `?1` id, `?2` token, `?3` fingerprint, `?4` namespace, `?5` principal, `?6` route, `?7` key,
/// `?8` lease, `?9` failed retention; all times in ms, NULL for ever.
pub(crate) const INSERT: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
INSERT INTO idempotency_keys
    (id, token, fingerprint, namespace, principal, route, key, state, attempt, takeover,
     created_at, lease_expires_at, expires_at)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, 'in_progress', 1, 0, now, now + ?8, now + ?8 + ?9
FROM clock
WHERE true
ON CONFLICT (id) DO NOTHING";

/// Puts a new execution in the place of one that expired, failed or lost its lease,
/// if the record is still the one that was seen, and still for the reason that was seen.
///
/// `?1` id, `?2` token, `?3` fingerprint, `?4` the token that was seen, `?5` what the record was:
/// expired, failed or dead, `?6` lease, `?7` failed retention.
pub(crate) const TAKE_OVER: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
UPDATE idempotency_keys
SET token = ?2, fingerprint = ?3, state = 'in_progress',
    attempt = iif(expires_at <= now, 1, attempt + 1),
    takeover = iif(expires_at <= now, 0, state = 'in_progress'),
    created_at = iif(expires_at <= now, now, created_at),
    lease_expires_at = now + ?6, ended_at = NULL, expires_at = now + ?6 + ?7,
    steps = iif(coalesce(expires_at <= now, false) OR fingerprint <> ?3, NULL, steps),
    response_status = NULL, response_head = NULL, response_body = NULL,
    failure_category = NULL, failure_error = NULL
FROM clock
WHERE id = ?1 AND token = ?4
  AND CASE ?5
      WHEN 'expired' THEN expires_at <= now
      WHEN 'failed' THEN coalesce(expires_at > now, true) AND state = 'failed'
      WHEN 'dead' THEN coalesce(expires_at > now, true) AND state = 'in_progress'
                       AND lease_expires_at <= now
      END
RETURNING attempt, takeover";

/// Lets the lease last again. `?1` id, `?2` token, `?3` lease, `?4` failed retention.
pub(crate) const RENEW: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
UPDATE idempotency_keys
SET lease_expires_at = now + ?3, expires_at = now + ?3 + ?4
FROM clock
WHERE id = ?1 AND token = ?2 AND state = 'in_progress' AND coalesce(expires_at > now, true)";

/// Keeps a response. `?1` id, `?2` token, `?3` retention, `?4` status, `?5` head, `?6` body.
pub(crate) const COMPLETE: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
UPDATE idempotency_keys
SET state = 'completed', lease_expires_at = NULL, ended_at = now, expires_at = now + ?3,
    steps = NULL, response_status = ?4, response_head = ?5, response_body = ?6
FROM clock
WHERE id = ?1 AND token = ?2 AND state = 'in_progress' AND coalesce(expires_at > now, true)";

/// Records a failure. `?1` id, `?2` token, `?3` failed retention, `?4` category, `?5` error.
pub(crate) const FAIL: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
UPDATE idempotency_keys
SET state = 'failed', lease_expires_at = NULL, ended_at = now, expires_at = now + ?3,
    failure_category = ?4, failure_error = ?5
FROM clock
WHERE id = ?1 AND token = ?2 AND state = 'in_progress' AND coalesce(expires_at > now, true)";

/// Gives a key up without a trace. `?1` id, `?2` token.
pub(crate) const FREE: &str = "
DELETE FROM idempotency_keys
WHERE id = ?1 AND token = ?2 AND state = 'in_progress'
  AND coalesce(expires_at > CAST(round(unixepoch('subsec') * 1000) AS INTEGER), true)";

/// Says where the execution with this token is. `?1` id, `?2` token.
pub(crate) const STATE_OF: &str = "
SELECT state FROM idempotency_keys
WHERE id = ?1 AND token = ?2
  AND coalesce(expires_at > CAST(round(unixepoch('subsec') * 1000) AS INTEGER), true)";

/// Reads the results of steps. `?1` id, `?2` token.
pub(crate) const LOAD_STEPS: &str = "
SELECT steps FROM idempotency_keys
WHERE id = ?1 AND token = ?2 AND state = 'in_progress'";

/// Keeps the results of steps. `?1` id, `?2` token, `?3` steps.
pub(crate) const KEEP_STEPS: &str = "
UPDATE idempotency_keys
SET steps = ?3
WHERE id = ?1 AND token = ?2 AND state = 'in_progress'
  AND coalesce(expires_at > CAST(round(unixepoch('subsec') * 1000) AS INTEGER), true)";

/// Resolves a key that nobody is at work on with a response.
///
/// `?1` id, `?2` the new token, `?3` retention, `?4` status, `?5` head, `?6` body.
pub(crate) const ANSWER: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
UPDATE idempotency_keys
SET token = ?2, state = 'completed', lease_expires_at = NULL, ended_at = now,
    expires_at = now + ?3, steps = NULL, failure_category = NULL, failure_error = NULL,
    response_status = ?4, response_head = ?5, response_body = ?6
FROM clock
WHERE id = ?1 AND coalesce(expires_at > now, true)
  AND (state = 'failed' OR (state = 'in_progress' AND lease_expires_at <= now))";

/// Frees a key that nobody is at work on. `?1` id.
pub(crate) const FREE_ABANDONED: &str = "
DELETE FROM idempotency_keys
WHERE id = ?1
  AND coalesce(expires_at > CAST(round(unixepoch('subsec') * 1000) AS INTEGER), true)
  AND (state = 'failed' OR (state = 'in_progress'
       AND lease_expires_at <= CAST(round(unixepoch('subsec') * 1000) AS INTEGER)))";

/// Says who is at work on a key, and for how long. `?1` id.
pub(crate) const REMAINING: &str = "
WITH clock AS (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now)
SELECT state, coalesce(lease_expires_at - now, 0) AS remaining_ms
FROM idempotency_keys, clock
WHERE id = ?1 AND coalesce(expires_at > now, true)";

/// Reads one record. `?1` id.
pub(crate) const LOOKUP: &str = "
SELECT id, namespace, principal, route, key, fingerprint, state, attempt, created_at,
       lease_expires_at, ended_at, expires_at, response_status, failure_category, failure_error,
       response_head, response_body
FROM idempotency_keys
WHERE id = ?1
  AND coalesce(expires_at > CAST(round(unixepoch('subsec') * 1000) AS INTEGER), true)";

/// Reads a page. `?1` the identity to begin behind, empty for the start; `?2` state or NULL;
/// `?3` limit.
pub(crate) const LIST: &str = "
SELECT id, namespace, principal, route, key, fingerprint, state, attempt, created_at,
       lease_expires_at, ended_at, expires_at, response_status, failure_category, failure_error
FROM idempotency_keys
WHERE id > ?1 AND (?2 IS NULL OR state = ?2)
  AND coalesce(expires_at > CAST(round(unixepoch('subsec') * 1000) AS INTEGER), true)
ORDER BY id
LIMIT ?3";

/// Deletes expired records. `?1` limit.
pub(crate) const SWEEP: &str = "
DELETE FROM idempotency_keys
WHERE rowid IN (
    SELECT rowid FROM idempotency_keys
    WHERE expires_at <= CAST(round(unixepoch('subsec') * 1000) AS INTEGER)
    ORDER BY expires_at
    LIMIT ?1
)";

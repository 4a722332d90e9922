//! The statements of those who look at records, wait for them, resolve and sweep them.

/// Times in microseconds since 1970; NULL for those that never come.
pub(super) const RECORD: &str = "
SELECT id, namespace, principal, route, key, fingerprint, attempt,
       /* state */ AS state,
       (extract(epoch FROM created_at) * 1000000)::bigint AS created_us,
       (extract(epoch FROM lease_expires_at) * 1000000)::bigint AS lease_us,
       (extract(epoch FROM ended_at) * 1000000)::bigint AS ended_us,
       CASE WHEN isfinite(expires_at)
            THEN (extract(epoch FROM expires_at) * 1000000)::bigint END AS expires_us,
       response_status, failure_category, failure_error";

/// `$1` id.
pub(super) const LOOKUP: &str = ", response_head, response_body
FROM /* schema. */idempotency_keys
WHERE id = $1 AND expires_at > clock_timestamp()";

/// `$1` the identity to begin behind, empty for the start; `$2` state or NULL; `$3` limit.
pub(super) const LIST: &str = "
FROM /* schema. */idempotency_keys
WHERE id > $1 AND ($2::text IS NULL OR /* state */ = $2) AND expires_at > clock_timestamp()
ORDER BY id
LIMIT $3";

/// Deletes expired records, if nobody else is at it, and moves those that live longer than was
/// foreseen out of the sweeper's way. `$1` how many records it looks at, `$2` how far the batch
/// before this one came, in microseconds since 1970, or NULL.
///
/// A batch begins where the last one ended: the entries of deleted records stay in the index until
/// it is vacuumed, and each batch would pass by those of all before it. What expires soon is passed
/// by as well, and left where it is, or nearly every record would be moved by the time that its
/// handler took.
///
/// The bound on what is looked at is the limit alone. With the present time beside it, a planner
/// that knows neither takes what is between them for little, and reads the whole backlog to sort it.
///
/// The sub-selects without a reference are evaluated once, so that they can be index conditions;
/// the rows are found again by their place, so that no statistics can lead to reading the table.
pub(super) const SWEEP: &str = "
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(
               7310868735000000 + '/* schema. */idempotency_keys'::regclass::oid::bigint) AS ours,
           clock_timestamp() AS now
), next AS MATERIALIZED (
    SELECT ctid AS place, sweep_at, expires_at
    FROM /* schema. */idempotency_keys
    WHERE (SELECT ours FROM turn)
      AND sweep_at >= coalesce('epoch'::timestamptz + $2 * interval '1 microsecond', '-infinity')
    ORDER BY sweep_at
    LIMIT $1
), due AS MATERIALIZED (
    SELECT place, sweep_at,
           expires_at <= now OR expires_at > now + interval '5 minutes' AS wanted
    FROM next, turn
    WHERE sweep_at <= now
), held AS MATERIALIZED (
    SELECT ctid AS place, expires_at <= (SELECT now FROM turn) AS expired
    FROM /* schema. */idempotency_keys
    WHERE ctid = ANY (ARRAY(SELECT place FROM due WHERE wanted))
    FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE /* schema. */idempotency_keys
    SET sweep_at = expires_at
    WHERE ctid = ANY (ARRAY(SELECT place FROM held WHERE NOT expired))
    RETURNING true
), deleted AS (
    DELETE FROM /* schema. */idempotency_keys
    WHERE ctid = ANY (ARRAY(SELECT place FROM held WHERE expired))
    RETURNING true
)
SELECT (SELECT count(*) FROM deleted) AS deleted, count(*) AS due,
       (extract(epoch FROM max(sweep_at)) * 1000000)::bigint AS reached
FROM due";

/// Answers a key that nobody is at work on.
///
/// `$1` id, `$2` the new token, `$3` retention, `$4` status, `$5` head, `$6` body.
pub(super) const ANSWER: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
abandoned AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND expires_at > now
      AND (/* failed */ OR lease_expires_at <= now)
    FOR UPDATE OF record SKIP LOCKED
)
UPDATE /* schema. */idempotency_keys AS record
SET token = $2, lease_expires_at = NULL, ended_at = now,
    expires_at = coalesce(now + $3 * interval '1 millisecond', 'infinity'),
    sweep_at = coalesce(now + $3 * interval '1 millisecond', 'infinity'),
    steps = NULL, failure_category = NULL, failure_error = NULL,
    response_status = $4, response_head = $5, response_body = $6
FROM abandoned, clock
WHERE record.id = abandoned.id";

/// Frees a key that nobody is at work on. `$1` id.
pub(super) const FREE_ABANDONED: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
abandoned AS MATERIALIZED (
    SELECT id
    FROM /* schema. */idempotency_keys AS record, clock
    WHERE id = $1 AND expires_at > now
      AND (/* failed */ OR lease_expires_at <= now)
    FOR UPDATE OF record SKIP LOCKED
)
DELETE FROM /* schema. */idempotency_keys AS record
USING abandoned
WHERE record.id = abandoned.id";

/// Says who is at work on a key, and for how long. `$1` id.
pub(super) const REMAINING: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT /* state */ AS state,
       coalesce(ceil(extract(epoch FROM lease_expires_at - now) * 1000), 0)::bigint
           AS remaining_ms
FROM /* schema. */idempotency_keys, clock
WHERE id = $1 AND expires_at > now";

/// Tells which keys nobody is at work on. `$1` ids.
///
/// One look-up by the primary key for each: the limit keeps the planner from joining tables.
pub(super) const ENDED: &str = "
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT waited.id
FROM clock, unnest($1::bytea[]) AS waited (id)
LEFT JOIN LATERAL (
    SELECT lease_expires_at, expires_at
    FROM /* schema. */idempotency_keys AS record
    WHERE record.id = waited.id
    LIMIT 1
) AS record ON true
WHERE (lease_expires_at > now AND expires_at > now) IS NOT TRUE";

//! The statements for Postgres.

pub(crate) const MIGRATIONS: &str =
    include_str!("../../migrations/postgres/0001_create_webhook_deliveries.sql");

/// Holds back other processes that migrate at the same time.
pub(crate) const LOCK_MIGRATIONS: &str = "SELECT pg_advisory_xact_lock(7310868735111112)";

/// "Already exists, skipping" is no news at every start; it ends with the transaction.
pub(crate) const QUIET: &str = "SET LOCAL client_min_messages = warning";

/// Tells whether the index that finds duplicates is there, whole, and the one that is meant:
/// `IF NOT EXISTS` is content with anything of that name.
pub(crate) const CHECK_INDEX: &str = "
SELECT EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indexrelid = to_regclass('webhook_deliveries_trigger_id_key')
      AND i.indrelid = to_regclass('webhook_deliveries')
      AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 2
      AND pg_get_indexdef(i.indexrelid, 1, true) = 'trigger_id'
      AND pg_get_indexdef(i.indexrelid, 2, true) = 'key'
      AND pg_get_expr(i.indpred, i.indrelid) = '(key IS NOT NULL)')";

/// Begins a transaction that writes.
pub(crate) const BEGIN: &str = "BEGIN";

/// Looks for the delivery that an arrival would repeat. `$1` trigger, `$2` key.
pub(crate) const FIND: &str = "
SELECT id::text FROM webhook_deliveries WHERE trigger_id = $1 AND key = $2";

/// Keeps an arrival, whose first attempt begins with it.
///
/// Nothing comes back if another arrival with its key was faster; every other violation is an
/// error. `$1` id, `$2` trigger, `$3` key, `$4` method, `$5` target, `$6` head, `$7` body,
/// `$8` attempts allowed, `$9` when somebody else may look after it, in ms from now.
pub(crate) const KEEP: &str = "
INSERT INTO webhook_deliveries
    (id, trigger_id, key, method, target, head, body, state, attempts, attempts_allowed,
     received_at, next_attempt_at)
SELECT $1::text::uuid, $2, $3, $4, $5, $6, $7, 'received', 1, $8, now, now + $9 * interval '1 ms'
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE true
ON CONFLICT (trigger_id, key) WHERE key IS NOT NULL DO NOTHING
RETURNING id::text";

/// Takes deliveries whose time has come, each for its next attempt.
///
/// `$1` how many, `$2` when somebody else may look after them, in ms from now.
pub(crate) const TAKE: &str = "
UPDATE webhook_deliveries
SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + $2 * interval '1 ms'
WHERE id = ANY (ARRAY(SELECT id FROM webhook_deliveries
    WHERE next_attempt_at <= (SELECT clock_timestamp()) AND attempts < attempts_allowed
    ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED))
RETURNING id::text, trigger_id, method, target, head, body, attempts";

/// Buries deliveries whose last allowed attempt has ended without a trace. `$1` how many.
pub(crate) const BURY: &str = "
UPDATE webhook_deliveries
SET state = 'dead', category = 'transient', last_error = 'the last attempt left no trace',
    ended_at = clock_timestamp(), next_attempt_at = NULL
WHERE id = ANY (ARRAY(SELECT id FROM webhook_deliveries
    WHERE next_attempt_at <= (SELECT clock_timestamp()) AND attempts >= attempts_allowed
    ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED))";

/// Notes a success. It is a fact, whoever learned of it, so it names no attempt. `$1` id.
pub(crate) const SUCCEED: &str = "
UPDATE webhook_deliveries
SET state = 'succeeded', category = NULL, last_error = NULL,
    ended_at = clock_timestamp(), next_attempt_at = NULL
WHERE id = $1::text::uuid AND state <> 'succeeded'";

/// Notes a failure, if the attempt is still the latest: `failed` while attempts are left.
///
/// `$1` id, `$2` attempt, `$3` category, `$4` error, `$5` ms until the next attempt.
pub(crate) const FAIL: &str = "
UPDATE webhook_deliveries
SET state = CASE WHEN $3 = 'permanent' OR attempts >= attempts_allowed THEN 'dead' ELSE 'failed' END,
    ended_at = CASE WHEN $3 = 'permanent' OR attempts >= attempts_allowed THEN clock_timestamp() END,
    next_attempt_at = CASE WHEN $3 = 'permanent' OR attempts >= attempts_allowed THEN NULL ELSE clock_timestamp() + $5 * interval '1 ms' END,
    category = $3, last_error = $4
WHERE id = $1::text::uuid AND attempts = $2 AND state IN ('received', 'failed')
RETURNING state";

/// Keeps others from looking after an attempt that still runs.
/// `$1` id, `$2` attempt, `$3` when they may, in ms from now.
pub(crate) const HOLD: &str = "
UPDATE webhook_deliveries
SET next_attempt_at = clock_timestamp() + $3 * interval '1 ms'
WHERE id = $1::text::uuid AND attempts = $2 AND state IN ('received', 'failed')";

/// Gives an attempt back that did not take place. `$1` id, `$2` attempt, `$3` ms until the next.
pub(crate) const POSTPONE: &str = "
UPDATE webhook_deliveries
SET attempts = attempts - 1, next_attempt_at = clock_timestamp() + $3 * interval '1 ms'
WHERE id = $1::text::uuid AND attempts = $2 AND state IN ('received', 'failed')";

/// Lets one replay at a time be judged.
pub(crate) const LOCK_REPLAYS: &str = "SELECT pg_advisory_xact_lock(7310868735111113)";

/// Reads what a replay is judged by. `$1` id.
pub(crate) const STANDING: &str = "
SELECT state, (extract(epoch FROM clock_timestamp() - last_replay_at) * 1000)::bigint AS since_replay_ms
FROM webhook_deliveries WHERE id = $1::text::uuid";

/// Counts the replays of the last `$1` ms, and tells the age of the oldest of them.
pub(crate) const RECENT_REPLAYS: &str = "
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(last_replay_at)) * 1000)::bigint
FROM webhook_deliveries WHERE last_replay_at > (SELECT clock_timestamp() - $1 * interval '1 ms')";

/// Asks for another attempt, at once. `$1` id.
pub(crate) const REPLAY: &str = "
UPDATE webhook_deliveries
SET state = 'failed', attempts_allowed = greatest(attempts_allowed, attempts + 1),
    next_attempt_at = clock_timestamp(), last_replay_at = clock_timestamp(), ended_at = NULL
WHERE id = $1::text::uuid AND state IN ('failed', 'dead')";

/// Deletes what has ended more than `$1` ms ago, `$2` at most.
pub(crate) const SWEEP: &str = "
DELETE FROM webhook_deliveries
WHERE id = ANY (ARRAY(SELECT id FROM webhook_deliveries
    WHERE received_at < (SELECT clock_timestamp() - $1 * interval '1 ms') AND ended_at < (SELECT clock_timestamp() - $1 * interval '1 ms')
    ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

/// Counts by day, in UTC, today and the `$1` days before it.
pub(crate) const STATISTICS: &str = "
SELECT to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
       count(*),
       count(*) FILTER (WHERE key IS NULL),
       count(*) FILTER (WHERE state = 'succeeded'),
       count(*) FILTER (WHERE state IN ('received', 'failed')),
       count(*) FILTER (WHERE state = 'dead'),
       count(*) FILTER (WHERE attempts > 1),
       count(*) FILTER (WHERE last_replay_at IS NOT NULL)
FROM webhook_deliveries
WHERE received_at >= (SELECT date_trunc('day', clock_timestamp(), 'UTC') - $1 * interval '1 day')
GROUP BY 1
ORDER BY 1 DESC";

macro_rules! rows_where {
    ($condition:literal) => {
        concat!(
            "
SELECT id::text, trigger_id, key, method, target, octet_length(body)::bigint,
       state, attempts, attempts_allowed, (extract(epoch FROM next_attempt_at) * 1000)::bigint, category, last_error,
       (extract(epoch FROM received_at) * 1000)::bigint, (extract(epoch FROM ended_at) * 1000)::bigint, (extract(epoch FROM last_replay_at) * 1000)::bigint
FROM webhook_deliveries WHERE ",
            $condition
        )
    };
}

/// Reads one delivery. `$1` id.
pub(crate) const SHOW: &str = rows_where!("id = $1::text::uuid");

/// Lists deliveries, the latest first. `$1` state, `$2` id of the last one seen, `$3` how many.
pub(crate) const LIST: &str = rows_where!(
    "($1::text IS NULL OR state = $1)
  AND ($2::text IS NULL OR (received_at, id) <
       (SELECT seen.received_at, seen.id FROM webhook_deliveries AS seen WHERE seen.id = $2::text::uuid))
ORDER BY received_at DESC, id DESC LIMIT $3"
);

/// Lists dead letters, the latest first; a statement of its own for the sake of its index.
/// `$1` id of the last one seen, `$2` how many.
pub(crate) const LIST_DEAD: &str = rows_where!(
    "state = 'dead'
  AND ($1::text IS NULL OR (received_at, id) <
       (SELECT seen.received_at, seen.id FROM webhook_deliveries AS seen WHERE seen.id = $1::text::uuid))
ORDER BY received_at DESC, id DESC LIMIT $2"
);

//! The statements for SQLite.

pub(crate) const MIGRATIONS: &str =
    include_str!("../../migrations/sqlite/0001_create_webhook_deliveries.sql");

/// Holds back nobody: the transaction's write lock does.
pub(crate) const LOCK_MIGRATIONS: &str = "SELECT 1";

/// SQLite has no notices.
pub(crate) const QUIET: &str = "SELECT 1";

/// Tells whether the index that finds duplicates is there, and the one that is meant:
/// `IF NOT EXISTS` is content with anything of that name.
pub(crate) const CHECK_INDEX: &str = "
SELECT EXISTS (
    SELECT 1 FROM pragma_index_list('webhook_deliveries') AS i
    WHERE i.name = 'webhook_deliveries_trigger_id_key' AND i.\"unique\" = 1 AND i.partial = 1
      AND (SELECT group_concat(name, ',') FROM pragma_index_info(i.name)) = 'trigger_id,key')";

/// Begins a transaction that writes.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Looks for the delivery that an arrival would repeat. `$1` trigger, `$2` key.
pub(crate) const FIND: &str = "
SELECT id FROM webhook_deliveries WHERE trigger_id = $1 AND key = $2";

/// Keeps an arrival, whose first attempt begins with it.
///
/// Nothing comes back if another arrival with its key was faster; every other violation is an
/// error. `$1` id, `$2` trigger, `$3` key, `$4` method, `$5` target, `$6` head, `$7` body,
/// `$8` attempts allowed, `$9` when somebody else may look after it, in ms from now.
pub(crate) const KEEP: &str = "
INSERT INTO webhook_deliveries
    (id, trigger_id, key, method, target, head, body, state, attempts, attempts_allowed,
     received_at, next_attempt_at)
SELECT $1, $2, $3, $4, $5, $6, $7, 'received', 1, $8, now, now + $9
FROM (SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now) AS clock
WHERE true
ON CONFLICT (trigger_id, key) WHERE key IS NOT NULL DO NOTHING
RETURNING id";

/// Takes deliveries whose time has come, each for its next attempt.
///
/// `$1` how many, `$2` when somebody else may look after them, in ms from now.
pub(crate) const TAKE: &str = "
UPDATE webhook_deliveries
SET attempts = attempts + 1, next_attempt_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + $2
WHERE id IN (SELECT id FROM webhook_deliveries
    WHERE next_attempt_at <= CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AND attempts < attempts_allowed
    ORDER BY next_attempt_at LIMIT $1)
RETURNING id, trigger_id, method, target, head, body, attempts";

/// Buries deliveries whose last allowed attempt has ended without a trace. `$1` how many.
pub(crate) const BURY: &str = "
UPDATE webhook_deliveries
SET state = 'dead', category = 'transient', last_error = 'the last attempt left no trace',
    ended_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER), next_attempt_at = NULL
WHERE id IN (SELECT id FROM webhook_deliveries
    WHERE next_attempt_at <= CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AND attempts >= attempts_allowed
    ORDER BY next_attempt_at LIMIT $1)";

/// Notes a success. It is a fact, whoever learned of it, so it names no attempt. `$1` id.
pub(crate) const SUCCEED: &str = "
UPDATE webhook_deliveries
SET state = 'succeeded', category = NULL, last_error = NULL,
    ended_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER), next_attempt_at = NULL
WHERE id = $1 AND state <> 'succeeded'";

/// Notes a failure, if the attempt is still the latest: `failed` while attempts are left.
///
/// `$1` id, `$2` attempt, `$3` category, `$4` error, `$5` ms until the next attempt.
pub(crate) const FAIL: &str = "
UPDATE webhook_deliveries
SET state = CASE WHEN $3 = 'permanent' OR attempts >= attempts_allowed THEN 'dead' ELSE 'failed' END,
    ended_at = CASE WHEN $3 = 'permanent' OR attempts >= attempts_allowed THEN CAST(round(unixepoch('subsec') * 1000) AS INTEGER) END,
    next_attempt_at = CASE WHEN $3 = 'permanent' OR attempts >= attempts_allowed THEN NULL ELSE CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + $5 END,
    category = $3, last_error = $4
WHERE id = $1 AND attempts = $2 AND state IN ('received', 'failed')
RETURNING state";

/// Keeps others from looking after an attempt that still runs.
/// `$1` id, `$2` attempt, `$3` when they may, in ms from now.
pub(crate) const HOLD: &str = "
UPDATE webhook_deliveries
SET next_attempt_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + $3
WHERE id = $1 AND attempts = $2 AND state IN ('received', 'failed')";

/// Gives an attempt back that did not take place. `$1` id, `$2` attempt, `$3` ms until the next.
pub(crate) const POSTPONE: &str = "
UPDATE webhook_deliveries
SET attempts = attempts - 1, next_attempt_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER) + $3
WHERE id = $1 AND attempts = $2 AND state IN ('received', 'failed')";

/// Lets one replay at a time be judged.
pub(crate) const LOCK_REPLAYS: &str = "SELECT 1";

/// Reads what a replay is judged by. `$1` id.
pub(crate) const STANDING: &str = "
SELECT state, CAST(round(unixepoch('subsec') * 1000) AS INTEGER) - last_replay_at AS since_replay_ms
FROM webhook_deliveries WHERE id = $1";

/// Counts the replays of the last `$1` ms, and tells the age of the oldest of them.
pub(crate) const RECENT_REPLAYS: &str = "
SELECT count(*), CAST(round(unixepoch('subsec') * 1000) AS INTEGER) - min(last_replay_at)
FROM webhook_deliveries WHERE last_replay_at > CAST(round(unixepoch('subsec') * 1000) AS INTEGER) - $1";

/// Asks for another attempt, at once. `$1` id.
pub(crate) const REPLAY: &str = "
UPDATE webhook_deliveries
SET state = 'failed', attempts_allowed = max(attempts_allowed, attempts + 1),
    next_attempt_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER), last_replay_at = CAST(round(unixepoch('subsec') * 1000) AS INTEGER), ended_at = NULL
WHERE id = $1 AND state IN ('failed', 'dead')";

/// Deletes what has ended more than `$1` ms ago, `$2` at most.
pub(crate) const SWEEP: &str = "
DELETE FROM webhook_deliveries
WHERE id IN (SELECT id FROM webhook_deliveries
    WHERE received_at < CAST(round(unixepoch('subsec') * 1000) AS INTEGER) - $1 AND ended_at < CAST(round(unixepoch('subsec') * 1000) AS INTEGER) - $1
    ORDER BY received_at LIMIT $2)";

/// Counts by day, in UTC, today and the `$1` days before it.
pub(crate) const STATISTICS: &str = "
SELECT strftime('%Y-%m-%d', received_at / 1000, 'unixepoch') AS day,
       count(*),
       count(*) FILTER (WHERE key IS NULL),
       count(*) FILTER (WHERE state = 'succeeded'),
       count(*) FILTER (WHERE state IN ('received', 'failed')),
       count(*) FILTER (WHERE state = 'dead'),
       count(*) FILTER (WHERE attempts > 1),
       count(*) FILTER (WHERE last_replay_at IS NOT NULL)
FROM webhook_deliveries
WHERE received_at >= (unixepoch('now', 'start of day') - $1 * 86400) * 1000
GROUP BY 1
ORDER BY 1 DESC";

macro_rules! rows_where {
    ($condition:literal) => {
        concat!(
            "
SELECT id, trigger_id, key, method, target, length(body),
       state, attempts, attempts_allowed, next_attempt_at, category, last_error,
       received_at, ended_at, last_replay_at
FROM webhook_deliveries WHERE ",
            $condition
        )
    };
}

/// Reads one delivery. `$1` id.
pub(crate) const SHOW: &str = rows_where!("id = $1");

/// Lists deliveries, the latest first. `$1` state, `$2` id of the last one seen, `$3` how many.
pub(crate) const LIST: &str = rows_where!(
    "($1 IS NULL OR state = $1)
  AND ($2 IS NULL OR (received_at, id) <
       (SELECT seen.received_at, seen.id FROM webhook_deliveries AS seen WHERE seen.id = $2))
ORDER BY received_at DESC, id DESC LIMIT $3"
);

/// Lists dead letters, the latest first; a statement of its own for the sake of its index.
/// `$1` id of the last one seen, `$2` how many.
pub(crate) const LIST_DEAD: &str = rows_where!(
    "state = 'dead'
  AND ($1 IS NULL OR (received_at, id) <
       (SELECT seen.received_at, seen.id FROM webhook_deliveries AS seen WHERE seen.id = $1))
ORDER BY received_at DESC, id DESC LIMIT $2"
);

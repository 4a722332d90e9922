-- The deliveries of tower-idempotency-inbox. All times are milliseconds since 1970.
--
-- Safe to run again: everything is created only if it is not there.

CREATE TABLE IF NOT EXISTS webhook_deliveries (
    id               TEXT    NOT NULL PRIMARY KEY,
    trigger_id       TEXT    NOT NULL CHECK (length(trigger_id) BETWEEN 1 AND 255),
    -- NULL where the sender names no key: such a delivery runs each time it comes.
    key              TEXT    CHECK (length(key) BETWEEN 1 AND 255),
    method           TEXT    NOT NULL,
    -- Path and query, as the layer saw them.
    target           TEXT    NOT NULL,
    -- Headers, in the inbox's own versioned form.
    head             BLOB    NOT NULL,
    body             BLOB    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('received', 'failed', 'succeeded', 'dead')),
    -- Raised when an attempt begins, so that one that ends its process is counted, too.
    -- Whoever settles an attempt names this number.
    attempts         INTEGER NOT NULL CHECK (attempts >= 0),
    attempts_allowed INTEGER NOT NULL CHECK (attempts_allowed >= 1),
    -- While an attempt runs: when somebody else may look after it.
    next_attempt_at  INTEGER,
    category         TEXT    CHECK (category IN ('transient', 'permanent')),
    last_error       TEXT,
    received_at      INTEGER NOT NULL,
    ended_at         INTEGER,
    last_replay_at   INTEGER,

    CHECK ((next_attempt_at IS NULL) = (state IN ('succeeded', 'dead'))),
    CHECK ((ended_at IS NOT NULL) = (state IN ('succeeded', 'dead'))),
    CHECK ((category IS NULL) = (last_error IS NULL)),
    CHECK (state <> 'dead' OR last_error IS NOT NULL)
) STRICT;

-- What makes a second arrival a duplicate.
CREATE UNIQUE INDEX IF NOT EXISTS webhook_deliveries_trigger_id_key
    ON webhook_deliveries (trigger_id, key) WHERE key IS NOT NULL;

CREATE INDEX IF NOT EXISTS webhook_deliveries_next_attempt_at
    ON webhook_deliveries (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

CREATE INDEX IF NOT EXISTS webhook_deliveries_received_at
    ON webhook_deliveries (received_at, id);

CREATE INDEX IF NOT EXISTS webhook_deliveries_dead
    ON webhook_deliveries (received_at, id) WHERE state = 'dead';

CREATE INDEX IF NOT EXISTS webhook_deliveries_last_replay_at
    ON webhook_deliveries (last_replay_at) WHERE last_replay_at IS NOT NULL;

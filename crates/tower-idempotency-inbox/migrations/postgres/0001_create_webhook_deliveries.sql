-- The deliveries of tower-idempotency-inbox.
--
-- Safe to run again, and beside running code: everything is created only if it is not there.

CREATE TABLE IF NOT EXISTS webhook_deliveries (
    id               uuid        NOT NULL,
    trigger_id       text        NOT NULL,
    -- NULL where the sender names no key: such a delivery runs each time it comes.
    key              text,
    method           text        NOT NULL,
    -- Path and query, as the layer saw them.
    target           text        NOT NULL,
    -- Headers, in the inbox's own versioned form.
    head             bytea       NOT NULL,
    body             bytea       NOT NULL,
    state            text        NOT NULL,
    -- Raised when an attempt begins, so that one that ends its process is counted, too.
    -- Whoever settles an attempt names this number.
    attempts         integer     NOT NULL,
    attempts_allowed integer     NOT NULL,
    -- While an attempt runs: when somebody else may look after it.
    next_attempt_at  timestamptz,
    category         text,
    last_error       text,
    received_at      timestamptz NOT NULL,
    ended_at         timestamptz,
    last_replay_at   timestamptz,

    CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_deliveries_trigger_size CHECK (octet_length(trigger_id) BETWEEN 1 AND 255),
    CONSTRAINT webhook_deliveries_key_size CHECK (octet_length(key) BETWEEN 1 AND 255),
    CONSTRAINT webhook_deliveries_state_is_known
        CHECK (state IN ('received', 'failed', 'succeeded', 'dead')),
    CONSTRAINT webhook_deliveries_category_is_known
        CHECK (category IN ('transient', 'permanent')),
    CONSTRAINT webhook_deliveries_attempts_count CHECK (attempts >= 0 AND attempts_allowed >= 1),
    CONSTRAINT webhook_deliveries_waits_or_has_ended
        CHECK ((next_attempt_at IS NULL) = (state IN ('succeeded', 'dead'))
               AND (ended_at IS NOT NULL) = (state IN ('succeeded', 'dead'))),
    CONSTRAINT webhook_deliveries_error_has_a_category
        CHECK ((category IS NULL) = (last_error IS NULL)),
    CONSTRAINT webhook_deliveries_dead_has_an_error
        CHECK (state <> 'dead' OR last_error IS NOT NULL)
);

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

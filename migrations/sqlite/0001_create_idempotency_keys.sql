-- The records of tower-idempotency.
--
-- Safe to run again: everything is created only if it is not there.
-- All times are milliseconds since 1970 by SQLite's own clock.
-- The table has a rowid on purpose: without one, bodies of a mebibyte would lie in the index.

CREATE TABLE IF NOT EXISTS idempotency_keys (
    -- A SHA-256 over scope and key.
    id                BLOB    NOT NULL,
    -- Changed by every execution; kept after its end, so that a takeover can name what it saw.
    token             BLOB    NOT NULL,
    created_at        INTEGER NOT NULL,
    -- NULL once the execution has ended.
    lease_expires_at  INTEGER,
    ended_at          INTEGER,
    -- When the record counts as absent; NULL for those that never do.
    expires_at        INTEGER,
    attempt           INTEGER NOT NULL,
    takeover          INTEGER NOT NULL,
    state             TEXT    NOT NULL,
    fingerprint       BLOB    NOT NULL,
    namespace         TEXT    NOT NULL,
    principal         TEXT    NOT NULL,
    route             TEXT    NOT NULL,
    key               TEXT    NOT NULL,
    -- Results of durable steps of an execution that has not come to its end.
    steps             TEXT,
    failure_category  TEXT,
    failure_error     TEXT,
    response_status   INTEGER,
    -- Status line and headers, in the layer's own versioned form.
    response_head     BLOB,
    -- NULL in a completed record says that the body was not kept.
    response_body     BLOB,

    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (id),
    CONSTRAINT idempotency_keys_id_is_a_digest CHECK (length(id) = 32),
    CONSTRAINT idempotency_keys_token_size CHECK (length(token) = 16),
    CONSTRAINT idempotency_keys_fingerprint_size CHECK (length(fingerprint) = 33),
    CONSTRAINT idempotency_keys_key_size CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_attempt_counts CHECK (attempt >= 1),
    CONSTRAINT idempotency_keys_state_is_known
        CHECK (state IN ('in_progress', 'completed', 'failed')),
    CONSTRAINT idempotency_keys_lease_while_in_progress
        CHECK ((state = 'in_progress') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT idempotency_keys_end_of_execution
        CHECK ((state = 'in_progress') = (ended_at IS NULL)),
    CONSTRAINT idempotency_keys_response_when_completed
        CHECK ((state = 'completed') = (response_status IS NOT NULL AND response_head IS NOT NULL)),
    CONSTRAINT idempotency_keys_body_when_completed
        CHECK (state = 'completed' OR response_body IS NULL),
    CONSTRAINT idempotency_keys_failure_when_failed
        CHECK ((state = 'failed') = (failure_category IS NOT NULL AND failure_error IS NOT NULL)),
    CONSTRAINT idempotency_keys_failure_category_is_known
        CHECK (failure_category IN ('transient', 'permanent'))
) STRICT;

CREATE INDEX IF NOT EXISTS idempotency_keys_expires_at
    ON idempotency_keys (expires_at)
    WHERE expires_at IS NOT NULL;

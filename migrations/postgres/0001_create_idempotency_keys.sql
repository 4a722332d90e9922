-- The records of tower-idempotency.
--
-- Safe to run again, and beside running code: everything is created only if it is not there,
-- and a table that is complete is not locked.
--
-- The text /* schema. */ is replaced by the schema's name where one is configured.

CREATE TABLE IF NOT EXISTS /* schema. */idempotency_keys (
    -- A SHA-256 over scope and key: of fixed size, so that the index stays small.
    id                bytea       NOT NULL,
    -- Changed by every execution; kept after its end, so that a takeover can name what it saw.
    token             uuid        NOT NULL,
    created_at        timestamptz NOT NULL,
    -- What a record is, is said by this one and by its response: in progress as long as there is a
    -- lease; then completed if there is a response_status, and failed if there is none. So no row
    -- can say two things, and there is no CHECK: the server would read its text again for every
    -- statement that writes.
    lease_expires_at  timestamptz,
    -- For those who look at records.
    ended_at          timestamptz,
    -- When the record counts as absent. 'infinity' for those that never do.
    expires_at        timestamptz NOT NULL,
    -- When the sweeper looks at the record. Set once, with the claim, and as a rule not changed
    -- by the completion: no indexed column changes then, so the completion is a HOT update.
    sweep_at          timestamptz NOT NULL,
    attempt           integer     NOT NULL,
    response_status   smallint,
    takeover          boolean     NOT NULL,
    fingerprint       bytea       NOT NULL,
    namespace         text        NOT NULL,
    principal         text        NOT NULL,
    route             text        NOT NULL,
    key               text        NOT NULL,
    -- Results of durable steps of an execution that has not come to its end.
    steps             text,
    failure_category  text,
    failure_error     text,
    -- Status line and headers, in the layer's own versioned form.
    response_head     bytea,
    -- NULL in a completed record says that the body was not kept.
    response_body     bytea,

    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (id)
) WITH (
    -- A completion writes a second version of its row, about twice as large with a short response:
    -- the room lets those of a batch stay on the page, so that no index is written again.
    fillfactor = 33,
    -- Every row dies twice, by its completion and by the sweep.
    autovacuum_vacuum_scale_factor = 0.05,
    -- To give room at the table's end back, VACUUM would lock out everybody for moments; new
    -- records take that room.
    vacuum_truncate = false
);

-- CREATE INDEX IF NOT EXISTS and ALTER TABLE would lock the table before they find that there is
-- nothing to do, so this looks first.
DO $$
BEGIN
    IF to_regclass('/* schema. */idempotency_keys_sweep_at') IS NULL THEN
        CREATE INDEX idempotency_keys_sweep_at ON /* schema. */idempotency_keys (sweep_at);
    END IF;

    -- lz4 costs less than the default, where the server was built with it.
    IF EXISTS (
        SELECT FROM pg_attribute, pg_settings
        WHERE attrelid = '/* schema. */idempotency_keys'::regclass
          AND attname = 'response_body' AND attcompression <> 'l'
          AND name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
    ) THEN
        ALTER TABLE /* schema. */idempotency_keys
            ALTER COLUMN response_body SET COMPRESSION lz4;
    END IF;
END
$$;

-- What a transactional claim begins with, in one round trip.
--
-- Each statement in a function sees what was committed before it, so the record is looked for after
-- the lock was taken: whatever the lock's last holder has kept is seen. The server keeps the plans.
--
-- The text /* schema. */ is replaced by the schema's name where one is configured.

DO $migration$
BEGIN
    IF to_regprocedure(
        '/* schema. */idempotency_keys_lock(bytea, bigint, text, text, text, text)'
    ) IS NULL THEN
        -- Says whether there is a record, or NULL if the key's lock was not to be had.
        --
        -- The mark tells the transaction of the claim from any other one. The settings end it if
        -- its owner stops, so they come before the lock; all of it ends with the transaction.
        CREATE FUNCTION /* schema. */idempotency_keys_lock(
            record_id bytea, number bigint, mark text,
            stall_ms text, keepalives_idle text, keepalives_interval text
        ) RETURNS boolean
        LANGUAGE plpgsql AS $lock$
        DECLARE
            settings integer := num_nulls(
                set_config('idle_in_transaction_session_timeout', stall_ms, true),
                -- A peer that is gone is noticed by keep-alives, and one that reads nothing by the
                -- user timeout; neither does anything on a local socket.
                set_config('tcp_keepalives_idle', keepalives_idle, true),
                set_config('tcp_keepalives_interval', keepalives_interval, true),
                set_config('tcp_keepalives_count', '4', true),
                set_config('tcp_user_timeout', stall_ms, true)
            );
        BEGIN
            -- Made of the key's number and the table's, so that the same key in another table is
            -- another lock. It is negative, and those of sweeps and migrations are not.
            IF pg_try_advisory_xact_lock(
                (number # ('/* schema. */idempotency_keys'::regclass::oid::bigint << 32))
                    | '-9223372036854775808'::bigint
            ) THEN
                mark := set_config('tower_idempotency.token', mark, true);
                RETURN EXISTS (SELECT FROM /* schema. */idempotency_keys WHERE id = record_id);
            END IF;
            RETURN NULL;
        END
        $lock$;
    END IF;
END
$migration$;

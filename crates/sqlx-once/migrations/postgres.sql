-- The numbers that sqlx-once hands out without gaps. Safe to run again.
CREATE TABLE IF NOT EXISTS sqlx_once_counters (
    series text NOT NULL,
    period text NOT NULL,
    last bigint NOT NULL CONSTRAINT sqlx_once_counters_last_is_positive CHECK (last > 0),
    CONSTRAINT sqlx_once_counters_pkey PRIMARY KEY (series, period)
-- Few rows, each of them updated again and again: leave room for the next versions on the page.
) WITH (fillfactor = 50);

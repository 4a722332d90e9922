-- The numbers that sqlx-once hands out. Safe to run again.
CREATE TABLE IF NOT EXISTS sqlx_once_counters (
    series TEXT NOT NULL,
    period TEXT NOT NULL,
    last INTEGER NOT NULL CONSTRAINT sqlx_once_counters_last_is_positive CHECK (last > 0),
    CONSTRAINT sqlx_once_counters_pkey PRIMARY KEY (series, period)
) WITHOUT ROWID;

-- SQLite has no sequences.
CREATE TABLE IF NOT EXISTS sqlx_once_sequences (
    series TEXT NOT NULL,
    period TEXT NOT NULL,
    last INTEGER NOT NULL CONSTRAINT sqlx_once_sequences_last_is_positive CHECK (last > 0),
    CONSTRAINT sqlx_once_sequences_pkey PRIMARY KEY (series, period)
) WITHOUT ROWID;

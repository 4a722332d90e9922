//! Filling a table with records like those that a contender writes.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::measure::Database;

/// Records that are written by one statement.
const BATCH: u64 = 500_000;

/// Where a contender keeps its records.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The column that only records with a response have.
    pub(crate) status: &'static str,
}

/// Writes images of one real record, under keys of their own.
pub(crate) struct Filler {
    database: String,
    table: &'static str,
    /// Every column, and what is selected for it.
    columns: String,
    values: String,
    /// Statements that drop all indexes, and make them again.
    drop_indexes: String,
    make_indexes: String,
    /// The room that the table leaves on its pages.
    fillfactor: String,
}

impl Filler {
    /// Keeps one of the table's records as the image, and removes all others.
    pub(crate) fn new(database: &mut Database, name: &str, table: Table) -> Result<Self> {
        let Table {
            name: table,
            status,
        } = table;
        let setup = format!(
            "CREATE TABLE image AS SELECT * FROM {table} WHERE {status} IS NOT NULL LIMIT 1; \
             TRUNCATE {table}; ALTER TABLE {table} SET (autovacuum_enabled = off)"
        );
        database.run_in(name, &setup)?;
        let mut text = |sql: &str| database.text_in(name, sql);
        let columns = format!(
            "SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) FROM pg_attribute \
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
        );
        let columns = text(&columns)?;
        // Primary keys and unique constraints carry their indexes with them.
        let indexes = |with_constraint: &str, alone: &str| {
            format!(
                "SELECT string_agg(CASE WHEN conname IS NULL THEN {alone} \
                 ELSE format({with_constraint}) END, '; ') \
                 FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid \
                 WHERE indrelid = '{table}'::regclass"
            )
        };
        let drop = indexes(
            &format!("'ALTER TABLE {table} DROP CONSTRAINT %I', conname"),
            "format('DROP INDEX %s', indexrelid::regclass)",
        );
        let make = indexes(
            &format!(
                "'ALTER TABLE {table} ADD CONSTRAINT %I %s', conname, \
                 pg_get_constraintdef(pg_constraint.oid)"
            ),
            "pg_get_indexdef(indexrelid)",
        );
        let fillfactor = format!(
            "SELECT coalesce((SELECT option_value FROM pg_class, \
             pg_options_to_table(reloptions) WHERE oid = '{table}'::regclass \
             AND option_name = 'fillfactor'), '100')"
        );
        Ok(Self {
            database: name.to_owned(),
            table,
            values: columns
                .split(", ")
                .map(value_of)
                .collect::<Vec<_>>()
                .join(", "),
            drop_indexes: text(&drop)?,
            make_indexes: text(&make)?,
            fillfactor: text(&fillfactor)?,
            columns,
        })
    }

    /// Fills the table up to so many millions of records.
    ///
    /// The new ones expire at `expiry`. Their pages are full: nothing changes them any more.
    pub(crate) fn fill(&self, database: &mut Database, millions: f64, expiry: &str) -> Result<()> {
        let wanted = (millions * 1e6) as u64;
        let mut count = self.count(database)?;
        if count >= wanted {
            return Ok(());
        }
        let begun = Instant::now();
        let already = count;
        let table = self.table;
        let full = format!("ALTER TABLE {table} SET (fillfactor = 100)");
        self.run(database, &format!("{}; {full}", self.drop_indexes))?;
        while count < wanted {
            let next = (count + BATCH).min(wanted);
            self.run(database, &self.insert(count, next, expiry))?;
            count = next;
            let each = begun.elapsed().as_secs_f64() / (count - already) as f64;
            let left = each * (wanted - count) as f64;
            eprint!(
                "\r   {:.1} of {millions} M, {left:.0} s left    ",
                count as f64 / 1e6
            );
        }
        eprintln!("\n   indexes, VACUUM, ANALYZE, reading the index, CHECKPOINT");
        let memory = "SET maintenance_work_mem = '1GB'";
        self.run(database, &format!("{memory}; {}", self.make_indexes))?;
        let room = format!("ALTER TABLE {table} SET (fillfactor = {})", self.fillfactor);
        self.run(database, &room)?;
        self.run(database, &format!("VACUUM (ANALYZE) {table}"))?;
        self.run(database, &read_index(table))?;
        database.checkpoint()?;
        eprintln!("   filled in {:.0} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Has what is deleted from now on vacuumed as on any other table.
    pub(crate) fn vacuum_in_the_background(&self, database: &mut Database) -> Result<()> {
        self.run(
            database,
            &format!("ALTER TABLE {} RESET (autovacuum_enabled)", self.table),
        )
    }

    pub(crate) fn count(&self, database: &mut Database) -> Result<u64> {
        self.number(
            database,
            &format!("SELECT count(*)::text FROM {}", self.table),
        )
    }

    pub(crate) fn expired(&self, database: &mut Database) -> Result<u64> {
        let sql = format!(
            "SELECT count(*)::text FROM {} WHERE sweep_at < now()",
            self.table
        );
        self.number(database, &sql)
    }

    pub(crate) fn bytes(&self, database: &mut Database) -> Result<u64> {
        let sql = format!("SELECT pg_total_relation_size('{}')::text", self.table);
        self.number(database, &sql)
    }

    fn insert(&self, from: u64, to: u64, expiry: &str) -> String {
        let values = self.values.replace("EXPIRY", expiry);
        format!(
            "SET synchronous_commit = off; INSERT INTO {} ({}) SELECT {values} \
             FROM image, generate_series({from} + 1, {to}) AS number",
            self.table, self.columns
        )
    }

    fn run(&self, database: &mut Database, sql: &str) -> Result<()> {
        // VACUUM cannot be one of several statements, and no other here comes alone.
        database
            .run_in(&self.database, sql)
            .with_context(|| sql.chars().take(200).collect::<String>())
    }

    fn number(&self, database: &mut Database, sql: &str) -> Result<u64> {
        Ok(database.text_in(&self.database, sql)?.parse()?)
    }
}

/// Reads the whole index of the identities, as a server in service has it in memory.
///
/// Those of the table itself were read and written after it was made, and may have taken its place;
/// claims would wait for the disk then.
fn read_index(table: &str) -> String {
    format!(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; \
         SELECT count(*) FROM {table} WHERE id >= ''"
    )
}

/// Returns what a column of a new record is.
fn value_of(column: &str) -> &str {
    match column {
        "id" => "sha256(int8send(number))",
        "token" => "gen_random_uuid()",
        "key" => "gen_random_uuid()::text",
        "created_at" | "ended_at" => "now() - random() * interval '6 days'",
        // Spread, as records are that were not written all at once.
        "expires_at" | "sweep_at" => "EXPIRY + number * interval '1 millisecond' * 0.001",
        other => other,
    }
}

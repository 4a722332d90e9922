//! What the core promises, seen from outside.

#[path = "../../src/key/header_table.rs"]
mod header_table;
mod structured_fields;

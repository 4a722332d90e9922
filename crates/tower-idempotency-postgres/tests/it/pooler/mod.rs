//! Behind `PgBouncer`.

mod checks;
mod conformance;
mod hammer;
mod support;
mod transactions;

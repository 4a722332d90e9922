//! The inbox through its public interface, on SQLite and on Postgres.

mod arrivals;
mod attempts;
mod migrations;
mod operators;
mod support;

//! The inbox through its public interface, on SQLite and on Postgres.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod arrivals;
mod attempts;
mod effects;
mod logging;
mod migrations;
mod operator_routes;
mod operators;
mod package;
mod support;

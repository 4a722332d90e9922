//! The inbox through its public interface, on SQLite and on Postgres.

mod arrivals;
mod attempts;
mod migrations;
mod operator_routes;
mod operators;
mod support;

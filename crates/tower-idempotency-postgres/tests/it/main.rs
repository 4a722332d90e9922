//! The Postgres store against a real server.

mod bounds;
mod conformance;
mod isolation;
mod locks;
mod migrations;
mod package;
mod plans;
mod support;
mod table;

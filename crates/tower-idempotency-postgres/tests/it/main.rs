//! The Postgres store against a real server.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod batches;
mod bounds;
mod claims;
mod conformance;
mod connections;
mod effect;
mod fence;
mod fenced;
mod isolation;
mod locks;
mod migrations;
mod package;
mod places;
mod plans;
mod pooler;
mod sizes;
mod support;
mod table;
mod transactional;

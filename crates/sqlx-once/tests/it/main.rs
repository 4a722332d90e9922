//! What holds on a real Postgres and a real SQLite.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

#[macro_use]
mod support;

mod claiming;
mod drivers;
mod inserting;
mod migrating;
mod numbers;
mod retrying;
mod stores;
mod violations;

//! The black-box suite: each module is a family of scenarios, told over HTTP.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod caching;
mod concurrency;
mod conflicts;
mod disconnect;
mod dump;
mod execution;
mod expiry;
mod fenced;
mod hammer;
mod hang_up;
mod header;
mod integration;
mod lost_commits;
mod mismatch;
mod operator;
mod pooler;
mod problems;
mod protocol;
mod replayed_headers;
mod scope;
mod server;
mod size;
mod steps;
mod store_failures;
mod stored;
mod transactional;
mod transactional_handlers;
mod waiting;

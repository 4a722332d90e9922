//! The transactional mode against a real server.

mod broken;
mod claims;
mod commits;
mod conflicts;
mod conformance;
mod hammer;
mod handlers;
mod isolation;
mod migration;
mod releases;
mod stalls;
pub(crate) mod support;
mod unknown;

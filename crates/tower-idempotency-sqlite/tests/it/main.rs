//! The SQLite store on real files.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod batches;
mod conformance;
mod fence;
mod file;
mod package;
mod processes;
mod support;
mod transactional;

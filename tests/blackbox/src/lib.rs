//! Support for the black-box suite: it starts the fixture server and talks to it over HTTP.
//!
//! ```text
//! scenarios!        a test for each store of an `async fn(StoreKind)`
//! Fixture           one server process on a database of its own; `second` is another process
//!   ├ Call, Reply   a request, built and sent on a connection of its own, and its answer
//!   ├ Http2         one connection with HTTP/2
//!   └ count, release, rows, ..   the server's own controls
//! raw               bytes on a TCP connection: half-close, reset, pipelining
//! eventually        a bounded wait for a fact
//! ```

mod call;
mod connection;
mod database;
mod eventually;
mod fixture;
mod pooled;
mod process;
pub mod raw;
mod reply;
mod scenario;

pub use crate::{
    call::Call,
    connection::Http2,
    database::{Database, Way},
    eventually::eventually,
    fixture::{Fixture, Setup},
    pooled::Pooled,
    reply::{Reply, Streaming},
    scenario::{StoreKind, run},
};

/// Returns a key that was never used before.
#[must_use]
pub fn fresh_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The examples of the README, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

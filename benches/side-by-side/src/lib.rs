//! Who takes part in the benchmarks: known to the driver, which measures, and to the server.

mod contender;

pub use crate::contender::{CONTENDERS, Contender, Records, find};

/// The header that marks replays, for all alike.
pub const REPLAY_HEADER: &str = "idempotency-replayed";

/// How much of a server's standard output comes before its port.
pub const READY: &str = "listening on port ";

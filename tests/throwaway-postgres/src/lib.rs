//! Postgres servers that tests start, break and remove.
//!
//! A [`Server`] has a folder of its own under the temporary folder, listens on a free port of
//! 127.0.0.1, and is gone when it is dropped, also when its owner is killed: a watchdog process
//! holds the other end of a pipe.
//! Postgres refuses to run as root; root starts it as the user `postgres`, or `nobody`.

mod binaries;
mod port;
mod server;
mod shell;
mod watchdog;

pub use crate::{
    binaries::Binaries,
    server::{Mode, Server},
};

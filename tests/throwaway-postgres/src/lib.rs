//! Postgres servers, and poolers before them, that tests start, break and remove.
//!
//! A [`Server`], or a [`PgBouncer`], has a folder of its own under the temporary folder, listens on
//! a free port of 127.0.0.1, and is gone when it is dropped, also when its owner is killed: a
//! watchdog process holds the other end of a pipe.
//! Postgres refuses to run as root; root starts it as the user `postgres`, or `nobody`.

mod binaries;
mod folder;
mod pgbouncer;
mod pgbouncer_program;
mod port;
mod process;
mod server;
mod shell;
mod watchdog;

pub use crate::{
    binaries::Binaries,
    pgbouncer::PgBouncer,
    pgbouncer_program::PgBouncerProgram,
    server::{Mode, Server},
};

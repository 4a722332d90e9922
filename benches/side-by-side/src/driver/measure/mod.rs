//! Measuring one contender for one round.

mod cpu;
mod database;
mod machine;
mod pgbench;
mod round;
mod sample;
mod server;

pub(crate) use {
    cpu::Cpu,
    database::{Database, Medium, SETTINGS},
    machine::{Machine, fdatasync},
    pgbench::{FLOORS, Floor},
    round::{Load, Workload, measure},
    sample::{Round, Sample},
    server::{Programs, RunningServer, Setup},
};

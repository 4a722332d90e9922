//! The load generator: HTTP/1.1 with keep-alive, one request in flight on each connection.
//!
//! One thread with one epoll serves all connections, so that it costs the servers little: about
//! 6 us a request, most of it in the system's TCP.

mod connection;
mod generator;
mod histogram;
mod request;
mod response;

pub(crate) use {
    generator::{Control, Generator, Outcome, Span},
    histogram::Histogram,
    request::{Key, Keys, Request, uuid},
};

//! The client against servers, over sockets that break.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod bodies;
mod bounds;
mod conflicts;
mod downstream;
mod keyless;
mod lost_answers;
mod outcomes;
mod resumed;
mod script;
mod support;

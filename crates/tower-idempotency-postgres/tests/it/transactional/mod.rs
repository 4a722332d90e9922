//! The transactional mode against a real server.

mod broken;
mod claims;
mod handlers;
mod isolation;
mod stalls;
mod support;
mod unknown;

//! Postgres' wire protocol, as far as it takes to know which reply belongs to which statement.
//!
//! Replies come in the order of the requests, and each batch of requests, up to a Sync or a simple
//! Query, is answered up to one `ReadyForQuery`: so counting both is enough.

mod frames;
mod replies;
mod requests;
mod session;
mod statement;

pub(crate) use self::{session::Session, statement::is_commit};

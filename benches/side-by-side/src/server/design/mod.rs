//! The designs that other projects have, written as well as they can be on the same libraries.
//!
//! Each is one middleware, or one handler, with a pool of its own; statements are prepared once.

pub(crate) mod batched;
pub(crate) mod in_memory;
pub(crate) mod insert_update;
mod kept;
mod keyed;
mod record;
pub(crate) mod select_insert_update;
pub(crate) mod transaction;
pub(crate) mod zero_to_production;

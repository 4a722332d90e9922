//! Numbers that are handed out once.

mod gapless;
mod migrate;
mod sequence;
mod series;

pub use migrate::{POSTGRES_MIGRATION, SQLITE_MIGRATION, migrate};
pub use series::Series;

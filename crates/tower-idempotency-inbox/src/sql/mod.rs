//! Every statement of the inbox, once for each database, with the same parameters and columns.
//!
//! Only the database's clock judges. Times travel as milliseconds.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

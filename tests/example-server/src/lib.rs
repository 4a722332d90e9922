//! Runs the examples as their readers would: the program itself, on a database of its own, over
//! HTTP.
//!
//! ```text
//! on_both!      a test on Postgres and one on SQLite of an `async fn(Database)`
//! Database      what the program is told to use, and the test looks into
//! Server        the running program; Request, Reply: what is asked of it
//! ```

mod database;
mod request;
mod server;

pub use crate::{
    database::{Database, run},
    request::{Reply, Request},
    server::Server,
};

/// Makes a test on each database of an `async fn(Database)`.
#[macro_export]
macro_rules! on_both {
    ($($(#[$doc:meta])* async fn $name:ident($database:ident: Database) $body:block)*) => { $(
        $(#[$doc])* async fn $name($database: $crate::Database) $body

        mod $name {
            #[test]
            fn on_postgres() {
                $crate::run(async { super::$name($crate::Database::postgres().await).await });
            }

            #[test]
            fn on_sqlite() {
                $crate::run(async { super::$name($crate::Database::sqlite().await).await });
            }
        }
    )* };
}

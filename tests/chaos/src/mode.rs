//! What a run is about.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The level of guarantee that the servers' handlers ask for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The effect is a statement of its own.
    Leased,
    /// The handler completes the key inside its own transaction.
    Fenced,
    /// The layer hands the handler the transaction.
    Transactional,
}

/// Where the records are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[non_exhaustive]
pub enum StoreKind {
    /// A Postgres server of the run's own.
    Postgres,
    /// One file for all servers.
    Sqlite,
}

/// A guard of the store that is switched off, to prove that the checker sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[expect(
    clippy::exhaustive_enums,
    reason = "each guard needs a store to leave it out"
)]
pub enum Sabotage {
    /// A completion does not compare the token.
    CompleteFence,
    /// A renewal does not compare the token.
    RenewFence,
    /// A claim does not recognise its own record.
    TokenRecognition,
    /// A completion inside a transaction does not check that the key is still its own.
    InTransactionCheck,
}

/// Writes the word of the command line.
macro_rules! display_as_argument {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_possible_value();
                f.write_str(value.as_ref().map_or("", |value| value.get_name()))
            }
        }
    )*};
}

display_as_argument!(Mode, StoreKind, Sabotage);

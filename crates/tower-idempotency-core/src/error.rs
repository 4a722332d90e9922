//! What can go wrong, apart from what is an outcome.

use std::{error::Error, fmt};

/// A store could not do what it was asked.
///
/// Outcomes such as "somebody else has the key" are values, never errors.
/// The type is opaque so that a store can add context without breaking its callers;
/// [`kind`](Self::kind) says what to do, [`source`](Error::source) what happened.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// Wraps the driver's error.
    #[must_use]
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// Returns what kind of failure this is.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl StoreErrorKind {
    /// Tells whether the effect of the execution is known to be undone, together with its record.
    #[must_use]
    pub const fn is_undone(self) -> bool {
        matches!(self, Self::Conflict | Self::NoEffect | Self::RolledBack)
    }
}

impl From<StoreErrorKind> for StoreError {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::CommitUnknown => "it is not known whether a transaction was committed",
            StoreErrorKind::Conflict => {
                "a transaction met another one and was rolled back: running it again can help"
            }
            StoreErrorKind::Full => "the idempotency store is full",
            StoreErrorKind::Internal => "the idempotency store failed",
            StoreErrorKind::NoEffect => {
                "a statement changed another number of rows than it was to, and was undone"
            }
            StoreErrorKind::RolledBack => "a transaction was rolled back, and its effects with it",
            StoreErrorKind::Schema => {
                "the idempotency store's tables are missing or too old: run its migrations"
            }
            StoreErrorKind::Timeout => "the idempotency store did not answer in time",
            StoreErrorKind::Unavailable => "the idempotency store cannot be reached",
            StoreErrorKind::Unfenced => {
                "a success was not kept in the handler's transaction, and is not kept without one"
            }
            StoreErrorKind::Unreadable => "a stored idempotency record cannot be read",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The kinds of [`StoreError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// A transaction that holds effect and record was being committed when the answer got lost.
    /// Asking again tells.
    CommitUnknown,
    /// A transaction that holds effect and record met another one: nothing of it is there,
    /// the key is free, and running it again can help.
    Conflict,
    /// A bounded store has no room for another record, or no place in its queue.
    Full,
    /// The store refused for a reason of its own.
    Internal,
    /// The handler's only statement changed another number of rows than it was to: nothing of it is
    /// there, and the handler can answer so.
    NoEffect,
    /// A transaction that holds effect and record could not be committed: nothing of it is there,
    /// and the key is free.
    RolledBack,
    /// The tables are missing, or older than this version.
    Schema,
    /// No answer within the store's bound. What was asked may have happened.
    Timeout,
    /// No connection, or the connection broke. What was asked may have happened.
    Unavailable,
    /// A success was to be kept outside of the handler's transaction, in a store that does not do
    /// so. Nothing has changed.
    Unfenced,
    /// The record is there and cannot be understood. It must never be executed again.
    Unreadable,
}

/// A setting has a value that cannot work.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::ConfigError;
///
/// let error = ConfigError::new("lease", "0ns", "must be at least 100 ms");
/// assert_eq!(error.to_string(), "`lease` is 0ns: it must be at least 100 ms");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    setting: &'static str,
    value: String,
    requirement: String,
}

impl ConfigError {
    /// Says that `setting` has `value` and what it must be instead.
    #[must_use]
    pub fn new(
        setting: &'static str,
        value: impl Into<String>,
        requirement: impl Into<String>,
    ) -> Self {
        Self {
            setting,
            value: value.into(),
            requirement: requirement.into(),
        }
    }

    /// Returns the name of the setting.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// Returns the refused value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            requirement,
        } = self;
        write!(f, "`{setting}` is {value}: it {requirement}")
    }
}

impl Error for ConfigError {}

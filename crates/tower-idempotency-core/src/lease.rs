//! The time-limited right to execute.

use uuid::Uuid;

/// The random fencing value that names one execution.
///
/// The caller mints it before it asks the store, so that a claim whose acknowledgement was lost
/// recognises its own record when it is tried again.
/// Stores keep it and compare it verbatim; they never make one.
///
/// # Example
///
/// ```
/// use tower_idempotency_core::LeaseToken;
///
/// assert_ne!(LeaseToken::random(), LeaseToken::random());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LeaseToken(Uuid);

impl LeaseToken {
    /// Makes a fresh token (122 random bits).
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// Takes a token back from what a store kept.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Takes a token back from the 16 bytes that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Returns the 16 bytes that a store without UUIDs keeps.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Returns the UUID that a store keeps.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

/// Which try of a key an execution is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Attempt {
    /// Counts the executions of this key from 1, failed and abandoned ones included.
    pub number: u32,
    /// Is true if an earlier execution ran out of its lease without an end:
    /// its effects may have happened.
    pub takeover: bool,
}

impl Attempt {
    /// The first execution of a key.
    pub const FIRST: Self = Self::new(1, false);

    /// Describes execution `number`.
    #[must_use]
    pub const fn new(number: u32, takeover: bool) -> Self {
        Self { number, takeover }
    }
}
